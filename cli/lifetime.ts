/** How long whatever is still open may keep a process that has nothing left to do, in milliseconds. */
const LINGER_MS = 1000

/**
 * Waits for the end: SIGTERM or SIGINT ends it in good order, a second one at once. Resolves to the exit code.
 * `broken` rejects when there is no point in going on.
 */
export async function untilEnd(end: () => Promise<unknown>, broken?: Promise<unknown>): Promise<number> {
  const told = new Promise<void>((resolve) => {
    let first = true
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!first) process.exit(1)
        first = false
        resolve()
      })
    }
  })
  await (broken === undefined ? told : Promise.race([told, broken.then(() => told)]))
  await end()
  setTimeout(() => process.exit(), LINGER_MS).unref()
  return 0
}
