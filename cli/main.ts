import { nearest } from '../controller/sources/nearest.ts'
import manifest from '../package.json' with { type: 'json' }
import { type Command, commands, isCommand } from './commands.ts'
import type { Options } from './flags.ts'
import { helpOf, overview } from './help.ts'
import { readOptions } from './options.ts'
import { listenFault } from './listen-fault.ts'

const OK = 0
const FAILED = 1
const USAGE = 2

const stdout = (text: string) => void process.stdout.write(text)
const stderr = (text: string) => void process.stderr.write(text)

type Run = (words: readonly string[]) => Promise<number>

/** Answers a call for help, and what cannot be obeyed; otherwise runs the command with its options. */
function command<C extends Command>(name: C, execute: (options: Options<C>) => Promise<number>): Run {
  return async (words) => {
    if (words.includes('--help') || words.includes('-h')) {
      stdout(helpOf(name))
      return OK
    }
    const options = readOptions(name, words, process.env)
    if (!('usage' in options)) {
      return execute(options).catch((error: unknown) => {
        const fault = listenFault(error, name, options)
        throw fault === undefined ? error : new Error(fault, { cause: error })
      })
    }
    stderr(options.usage.map((line) => `modelroute ${name}: ${line}\n`).join(''))
    return USAGE
  }
}

/** Each loads its own code only: `check` needs no server, and a proxy no Kubernetes client. */
const run: { readonly [C in Command]: Run } = {
  serve: command('serve', async (options) => (await import('./serve.ts')).serve(options)),
  controller: command('controller', async (options) => (await import('./controller.ts')).controller(options)),
  dataplane: command('dataplane', async (options) => (await import('./dataplane.ts')).dataplane(options)),
  check: command('check', async (options) => (await import('./check.ts')).check(options, { stdout, stderr })),
  explain: command('explain', async (options) => (await import('./explain.ts')).explain(options, { stdout, stderr })),
  import: command('import', async (options) => (await import('./import.ts')).importGraphs(options, { stdout, stderr })),
  key: command('key', async (options) => (await import('./key.ts')).key(options, { stdout, stderr })),
  mirrors: command('mirrors', async (options) => (await import('./mirrors.ts')).mirrors(options, stdout)),
  predictions: command('predictions', async (options) => (await import('./predictions.ts')).predictions(options, stdout)),
  replay: command('replay', async (options) => (await import('./replay.ts')).replay(options, { stdout, stderr })),
  rollout: command('rollout', async (options) => (await import('./rollout.ts')).rollout(options, { stdout, stderr, terminal: process.stdout.isTTY })),
  selftest: command('selftest', async (options) => (await import('./selftest.ts')).selftest(options, { stdout, stderr })),
  sidecar: command('sidecar', async (options) => (await import('./sidecar.ts')).sidecar(options)),
  top: command('top', async (options) => (await import('./top.ts')).top(options, { stdout, stderr })),
  usage: command('usage', async (options) => (await import('./usage.ts')).usage(options, { stdout, stderr })),
  start: command('start', async (options) => (await import('./start.ts')).start(options)),
}

async function main([first, ...rest]: readonly string[]): Promise<number> {
  if (first === undefined) {
    stderr(overview())
    return USAGE
  }
  if (first === '--version' || first === '-v' || first === 'version') {
    stdout(`${manifest.version}\n`)
    return OK
  }
  if (first === '--help' || first === '-h' || first === 'help') {
    const [topic] = rest
    if (topic !== undefined && !isCommand(topic)) return unknown(topic)
    stdout(topic === undefined ? overview() : helpOf(topic))
    return OK
  }
  return isCommand(first) ? run[first](rest) : unknown(first)
}

function unknown(word: string): number {
  const like = nearest(word, Object.keys(commands))
  const what = word.startsWith('-') ? 'flag' : 'command'
  const hint = like === undefined ? '' : `; did you mean ${like}?`
  stderr(`modelroute: unknown ${what} ${word}${hint} (modelroute --help)\n`)
  return USAGE
}

// `modelroute check … | head` is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  // What the user can mend comes with a code or a sentence; the stack is for what they cannot.
  const bug = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
  stderr(`modelroute: ${error instanceof Error ? ((bug && error.stack) || error.message) : String(error)}\n`)
  process.exit(FAILED)
}
