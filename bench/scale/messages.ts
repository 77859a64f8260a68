/** What the bench and the process with its simulated proxies say to each other. */

export type ToFleet =
  | Readonly<{ do: 'dial'; url: string; count: number; cert: string; key: string; ca: string }>
  /** Says when all of them have acknowledged that generation of that route. */
  | Readonly<{ do: 'await'; route: string; generation: number }>
  | Readonly<{ do: 'sums' }>
  | Readonly<{ do: 'hang-up' }>

export type FromFleet =
  /** By the monotonic clock of the machine, in milliseconds. */
  | Readonly<{ said: 'acknowledged'; route: string; generation: number; at: number; bytes: number; item: number }>
  | Readonly<{ said: 'whole'; first: number; last: number }>
  | Readonly<{ said: 'sums'; sums: Sums }>
  | Readonly<{ said: 'gone' }>

/** Of all that came to one of them since it dialled. */
export type Sums = Readonly<{ snapshots: number; snapshotBytes: number; deltas: number; deltaBytes: number; wireBytes: number; closed: number }>

/** Milliseconds; the same clock in every process of this machine. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6
