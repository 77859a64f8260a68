import type { Command } from './commands.ts'

/** What a flag's text is read as. Durations are Gateway API's (`250ms`, `1h30m`), and become milliseconds; a count is 1 or more. */
type Type = 'text' | 'port' | 'duration' | 'count' | 'switch' | 'list'

export type Flag = Readonly<{
  name: string
  short?: string
  type: Type
  /** What help writes for the value. */
  value?: string
  choices?: readonly string[]
  /** The commands that take it, each with the text that holds without it; null: nothing does. */
  of: Readonly<Partial<Record<Command, string | null>>>
  help: string
}>

/** A list of flags, each kept as it is written: the types of the options come from it. */
export const define = <const F extends readonly Flag[]>(flags: F): F => flags

