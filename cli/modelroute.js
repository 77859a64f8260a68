#!/usr/bin/env node
// Plain JavaScript that old versions of Node can read: it finds a Node that can run the rest.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const NEEDED = 24
const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))

if (Number(process.versions.node.split('.')[0]) >= NEEDED) {
  // The published package carries compiled JavaScript: Node strips no types below node_modules.
  await import(existsSync(here('./main.js')) ? './main.js' : './main.ts')
} else {
  const newer = here('../node_modules/node/bin/node')
  if (existsSync(newer)) hand(newer)
  else {
    const found = `${process.version} (${process.execPath})`
    process.stderr.write(`modelroute needs Node.js ${NEEDED} or later; this is ${found}\n`)
    process.exitCode = 1
  }
}

/** Becomes that Node as far as anybody can tell: its output, its signals, its exit code. */
function hand(/** @type {string} */ node) {
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' })
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR2'])) {
    process.on(signal, () => {
      // A terminal has sent its Ctrl-C to the child as well, for which a second one means: at once.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('error', (error) => {
    process.stderr.write(`${node}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal ?? 'SIGTERM']))
}
