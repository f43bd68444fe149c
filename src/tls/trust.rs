//! What `wsgate cert` says when it is done: which files it wrote, and how clients come to trust the CA.

use std::fmt;

use super::chain::date;
use super::folder::Made;
use super::seconds;

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in &self.written {
            writeln!(f, "wrote {}", path.display())?;
        }
        writeln!(f, "\nfor {}, until {}", self.names.join(", "), date(seconds(self.not_after)))?;
        writeln!(f, "\nIn wsgate.toml:\n\n  [tls]")?;
        let (chain, key) = (self.chain.display().to_string(), self.key.display().to_string());
        writeln!(f, "  certificates = [{{ chain = {chain:?}, key = {key:?} }}]")?;
        let host = self.names.first().map_or("localhost", String::as_str).replace('*', "www");
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let guide = GUIDE.replace("CA.pem", &self.authority.display().to_string()).replace("HOST", &host);
        f.write_str(&guide)
    }
}

/// `CA.pem` and `HOST` are filled in.
const GUIDE: &str = r#"
Clients must be told once to trust the CA; certificates renewed later need nothing more. Its key, beside it, is for
nobody else: whoever has it can pose as any site to those who trust the CA.

  curl              curl --cacert CA.pem https://HOST:8443/
  Firefox           Settings, Privacy & Security, View Certificates, Authorities, Import CA.pem,
                    tick "Trust this CA to identify websites" (on Windows and macOS it also takes the system's)
  Chrome on Linux   chrome://certificate-manager, Custom, Installed by you, Trusted Certificates, Import CA.pem; or
                    certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n wsgate -i CA.pem      (package libnss3-tools)
  Debian, Ubuntu    sudo cp CA.pem /usr/local/share/ca-certificates/wsgate-ca.crt && sudo update-ca-certificates
  Fedora, Arch      sudo trust anchor CA.pem
  macOS             sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain CA.pem
                    (Safari and Chrome)
  Windows           certutil -addstore -f ROOT CA.pem      (as administrator; Edge and Chrome)
  PHP               stream_context_create(["ssl" => ["cafile" => "CA.pem"]])
  Node.js           NODE_EXTRA_CA_CERTS=CA.pem node …
  another wsgate    [pool.NAME] ca = "CA.pem", for its wss:// backends
"#;
