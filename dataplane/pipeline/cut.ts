import type { ErrorCode } from './errors.ts'

/** Why the door broke an exchange off itself. `cause` is for the log. */
export type Cut = Readonly<{ code: ErrorCode; cause: string }>

const cuts = new WeakMap<object, Cut>()

/** Said before the connection of a response is closed, so that its closing is not taken for the client's. */
export function cutOff(response: object, cut: Cut): void {
  cuts.set(response, cut)
}

export function cutOf(response: object): Cut | undefined {
  return cuts.get(response)
}
