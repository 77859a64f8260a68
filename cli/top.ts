import { setTimeout as wait } from 'node:timers/promises'
import { SORTS, type Look } from '../table/console.ts'
import type { Options } from './flags.ts'
import { draw, lines, type Shown } from './top/draw.ts'
import { keysIn } from './top/keys.ts'
import type { Shot } from './top/rows.ts'
import { openScreen } from './top/screen.ts'
import { look } from './top/source.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

type Asked = Readonly<{ url: URL; namespace: string | undefined; every: number; signal: AbortSignal }>

/** Milliseconds that rates are counted over at least. */
const shortest = 1000

/** What a proxy or a fleet does, as its console shows it: in a terminal as a screen, else as lines. */
export async function top(options: Options<'top'>, output: Output): Promise<number> {
  const { admin, control, namespace: [namespace], interval } = options
  const stopping = new AbortController()
  const asked: Asked = { url: new URL(control ?? admin ?? 'http://127.0.0.1:9901'), namespace, every: Math.max(shortest, interval), signal: stopping.signal }
  const stop = () => stopping.abort()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  const drawn = process.stdout.isTTY && process.env['TERM'] !== 'dumb' && options.output !== 'json' && !options.once
  return drawn ? onScreen(options, asked, stop) : asLines(options, asked, output)
}

/** Every line of one moment has its time; `--once`: one moment. */
async function asLines({ once, output: format, sort, filter = '' }: Options<'top'>, asked: Asked, { stdout, stderr }: Output): Promise<number> {
  const say = (shot: Shot) => stdout(format === 'json' ? `${JSON.stringify(shot)}\n` : lines(shot))
  let problem = ''
  while (!asked.signal.aborted) {
    try {
      const shot = await look({ ...asked, sort, filter })
      if (problem !== '') stderr(`modelroute top: ${asked.url.origin} answers again\n`)
      problem = ''
      // The first look is where counting begins.
      if (shot.window !== null) {
        say(shot)
        if (once) return 0
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (asked.signal.aborted) break
      if (once) throw error
      if (why !== problem) stderr(`modelroute top: ${why}\n`)
      problem = why
    }
    await wait(asked.every, undefined, { signal: asked.signal }).catch(() => {})
  }
  return 0
}

const sortKeys = new Map<string, Look['sort']>([['r', 'requests'], ['e', 'errors'], ['l', 'latency'], ['n', 'name']])

async function onScreen(options: Options<'top'>, asked: Asked, stop: () => void): Promise<number> {
  const { stdin, stdout, env } = process
  const keys = stdin.isTTY
  let { sort } = options
  let filter = options.filter ?? ''
  /** What is being typed for one. */
  let typed: string | undefined
  let offset = 0
  let shot: Shot | undefined
  let problem: string | undefined
  let again = () => {}
  let screen = openScreen(stdout, (env['NO_COLOR'] ?? '') === '')

  const shown = (): Shown => ({ shot, from: asked.url.origin, problem, sort, filter: typed === undefined ? filter : `${typed}_`, offset, keys })
  function redraw(): void {
    const { width, height } = screen.size()
    screen.draw(draw(shown(), width, height))
  }
  function scroll(by: number): void {
    offset = Math.max(0, Math.min((shot?.rows.length ?? 1) - 1, offset + by))
  }

  function press(key: string): void {
    if (key === 'interrupt') return stop()
    if (key === 'suspend') return suspend()
    if (typed !== undefined) type(key)
    else if (key === 'q') return stop()
    else if (key === '/') typed = filter
    else if (key === 's') resort(SORTS[(SORTS.indexOf(sort) + 1) % SORTS.length] ?? sort)
    else if (sortKeys.has(key)) resort(sortKeys.get(key) ?? sort)
    else scroll(scrolls(screen.size().height).get(key) ?? 0)
    redraw()
  }
  function resort(by: Look['sort']): void {
    sort = by
    offset = 0
    again()
  }
  function type(key: string): void {
    if (key === 'enter') {
      filter = (typed ?? '').trim()
      offset = 0
      again()
    }
    typed = key === 'enter' || key === 'escape' ? undefined : key === 'backspace' ? typed?.slice(0, -1) : key.length === 1 && key >= ' ' ? `${typed ?? ''}${key}`.slice(0, 100) : typed
  }

  /** As the shell knows it: its own screen while it has the terminal. */
  function suspend(): void {
    screen.restore()
    stdin.setRawMode(false)
    process.once('SIGCONT', () => {
      stdin.setRawMode(true)
      screen = openScreen(stdout, (env['NO_COLOR'] ?? '') === '')
      screen.onResize(redraw)
      redraw()
    })
    process.kill(process.pid, 'SIGTSTP')
  }

  const onData = (bytes: Buffer) => keysIn(bytes.toString()).forEach((key) => press(key))
  try {
    if (keys) stdin.setRawMode(true).on('data', onData).resume()
    screen.onResize(redraw)
    redraw()
    while (!asked.signal.aborted) {
      try {
        shot = await look({ ...asked, sort, filter })
        problem = undefined
      } catch (error) {
        problem = `${error instanceof Error ? error.message : String(error)}; trying again`
      }
      if (asked.signal.aborted) break
      scroll(0)
      redraw()
      const sooner = new AbortController()
      again = () => sooner.abort()
      await wait(asked.every, undefined, { signal: AbortSignal.any([asked.signal, sooner.signal]) }).catch(() => {})
    }
  } finally {
    screen.restore()
    if (keys) stdin.off('data', onData).setRawMode(false).pause()
  }
  return 0
}

const scrolls = (height: number) => new Map([
  ['up', -1], ['down', 1], ['page-up', -Math.max(1, height - 6)], ['page-down', Math.max(1, height - 6)],
  ['home', Number.NEGATIVE_INFINITY], ['end', Number.POSITIVE_INFINITY],
])
