/** Takes one line of a log. A function and not a logger, so that the controller knows of no vendor and no data plane. */
export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void
