#!/usr/bin/env node
// Plain JavaScript that old versions of Node can read: it finds a Node that can run the rest.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { constants, homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NEEDED = 24
const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))

if (Number(process.versions.node.split('.')[0]) >= NEEDED) {
  keepCompiled()
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

/**
 * What is compiled once is kept: the next start is faster, and takes a quarter less memory, since what strips the types
 * is not loaded. In the user's own folder: in a shared one, others could leave code for us.
 */
function keepCompiled() {
  const folder = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  module.enableCompileCache(join(folder, 'modelroute', 'compiled'))
  // A process that is killed would keep nothing.
  setTimeout(() => module.flushCompileCache(), 3000).unref()
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
