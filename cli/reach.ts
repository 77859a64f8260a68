/** Asks one of our own ports. Throws a sentence, with the address, where nobody answers there. */
export async function reach(url: URL, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    // fetch says that it failed; why is in its cause.
    throw new Error(`${url.origin} cannot be reached: ${reasonOf(error instanceof Error && error.cause !== undefined ? error.cause : error)}`, { cause: error })
  }
}

/** Of a name with several addresses, what became of each. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message || error.name : String(error)
}
