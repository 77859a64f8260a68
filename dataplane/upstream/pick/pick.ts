/** What balancing needs to know of an endpoint. */
export interface Member {
  /** Requests it has not answered completely yet, over all routes of the tenant. */
  readonly inFlight: number
}

/** Chooses the endpoint of one try; `except` are those that failed it already. Undefined: there is none (left). */
export type Pick = <M extends Member>(members: readonly M[], except?: readonly M[]) => M | undefined
