/** @import { ConsoleState } from '../../table/console.ts' */

/** Milliseconds between two looks, and for one. */
const every = 1000
const patience = 8000

/**
 * Looks again and again, as long as somebody sees it.
 * @param {Readonly<{
 *   query: () => string,
 *   onState: (state: ConsoleState) => void,
 *   onLost: (why: string) => void,
 * }>} options
 */
export function poll({ query, onState, onLost }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  /** @type {AbortController | undefined} */
  let asking
  let paused = false

  async function look() {
    clearTimeout(timer)
    asking?.abort()
    const own = new AbortController()
    asking = own
    const late = setTimeout(() => own.abort(), patience)
    const asked = query()
    try {
      const answer = await fetch(`console/state?${asked}`, { signal: own.signal, headers: { accept: 'application/json' } })
      if (!answer.ok) throw new Error(`it answers ${answer.status}: ${(await answer.text()).trim().slice(0, 200)}`)
      const state = /** @type {ConsoleState} */ (await answer.json())
      if (asking === own && asked === query()) onState(state)
    } catch (error) {
      if (asking === own) onLost(own.signal.aborted ? 'no answer in time' : error instanceof TypeError ? 'nobody answers' : String(error instanceof Error ? error.message : error))
    } finally {
      clearTimeout(late)
      if (asking === own) {
        asking = undefined
        if (!paused && !document.hidden) timer = setTimeout(look, every)
      }
    }
  }

  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer)
    if (!document.hidden && !paused) void look()
  })
  void look()
  return {
    /** At once, because something else is looked at. */
    now: () => void look(),
    pause() {
      paused = !paused
      clearTimeout(timer)
      if (!paused) void look()
      return paused
    },
  }
}
