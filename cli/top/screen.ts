import { writeSync } from 'node:fs'
import type { Line, Tone } from './draw.ts'

/** A terminal that is drawn on, and given back as it was. */
export type Screen = Readonly<{
  size(): Readonly<{ width: number; height: number }>
  draw(lines: readonly Line[]): void
  onResize(listener: () => void): void
  /** Once; also when the process ends in whatever way it still notices. */
  restore(): void
}>

type Out = typeof process.stdout

/** Another screen than that of the shell, no cursor, no wrapped lines (xterm: DECSET 1049, DECTCEM, DECAWM). */
const enter = '\u001B[?1049h\u001B[?25l\u001B[?7l'
const leave = '\u001B[?7h\u001B[?25h\u001B[?1049l'
/** A terminal that knows it shows nothing of what is between them before it is whole. */
const [begin, end] = ['\u001B[?2026h', '\u001B[?2026l']

const colours: Readonly<Record<Tone, string>> = { plain: '', title: '\u001B[1m', bad: '\u001B[31m', quiet: '\u001B[2m' }

/** @param coloured no colour is the only thing that says something (https://no-color.org) */
export function openScreen(out: Out, coloured: boolean): Screen {
  const listeners: (() => void)[] = []
  let open = true
  const resized = () => listeners.forEach((listener) => listener())
  out.write(enter)

  function restore(): void {
    if (!open) return
    open = false
    out.off('resize', resized)
    process.off('exit', restore)
    // What is written in the usual way may not go out any more.
    try {
      writeSync(out.fd, leave)
    } catch {
      // The terminal is gone.
    }
  }
  process.on('exit', restore)
  out.on('resize', resized)

  return {
    size: () => ({ width: Math.max(1, out.columns || 80), height: Math.max(1, out.rows || 24) }),
    draw(lines) {
      if (!open) return
      // Over what is there, and only then what is left of it cleared: nothing is ever blank in between.
      const text = lines.map(({ text, tone }) => (coloured && colours[tone] !== '' ? `${colours[tone]}${text}\u001B[0m` : text)).join('\u001B[K\r\n')
      out.write(`${begin}\u001B[H${text}\u001B[K\u001B[J${end}`)
    },
    onResize: (listener) => void listeners.push(listener),
    restore,
  }
}
