#!/bin/sh
# Makes localhost.pem and localhost.key anew, for a laptop only: once a key is public, it protects nothing.
#
# - Fixed dates, 2025 to 2036: the quick start must not break one day, nor on a laptop whose clock is behind.
#   `openssl ca` is used because `openssl req -x509` cannot set the first day everywhere.
# - basicConstraints=CA:FALSE: plain `openssl req -x509` makes a CA certificate, which rustls clients refuse as a
#   server's own.
set -eu
cd "$(dirname "$0")"

note='For a laptop only: everyone has this private key. Made by certs-example/make.sh; see README.md beside it.'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/index"

cat >"$work/openssl.cnf" <<END
[req]
prompt = no
distinguished_name = subject

[subject]
CN = wsgate example, its key is public

[ca]
default_ca = example

[example]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no

[any]
commonName = supplied

[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
subjectKeyIdentifier = hash
END

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/key"
openssl req -new -config "$work/openssl.cnf" -key "$work/key" -out "$work/request"
openssl ca -batch -notext -selfsign -config "$work/openssl.cnf" -extensions leaf -keyfile "$work/key" \
    -startdate 20250101000000Z -enddate 20360101000000Z -in "$work/request" -out "$work/pem" 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }

# Text before the first BEGIN line is allowed (RFC 7468, section 2), and readers skip it.
for kind in key pem; do
    { echo "$note"; cat "$work/$kind"; } >"localhost.$kind"
done
chmod 600 localhost.key
openssl x509 -in localhost.pem -noout -subject -dates -ext subjectAltName,basicConstraints
