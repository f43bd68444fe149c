// Takes all pictures of the README anew: runs every `pictures-*.mjs` beside this file, one after the other, each with the
// arguments given here. They need a gateway that is built, as the tests do.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));

const scripts = (await readdir(HERE)).filter((name) => /^pictures-.*\.mjs$/.test(name)).sort();
for (const script of scripts) {
  const child = spawn(process.execPath, [path.join(HERE, script), ...process.argv.slice(2)], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  if (code !== 0) {
    console.error(`${script} has ended with ${code}`);
    process.exitCode = 1;
  }
}
