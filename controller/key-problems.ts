import type { Compiled } from './compile/compiled.ts'
import type { Log } from './log.ts'

/** Says of each Secret that is meant to be an API key what makes it none, once for as long as it is so. */
export function keyProblems(log: Log): (apiKeys: Compiled['apiKeys']) => void {
  let told = new Set<string>()
  let before: Compiled['apiKeys'] | undefined
  return (apiKeys) => {
    if (apiKeys === before) return
    before = apiKeys
    const now = new Set<string>()
    for (const [key, problems] of apiKeys) {
      for (const { field, reason, message } of problems) {
        const id = `${key}\n${field}\n${message}`
        now.add(id)
        if (!told.has(id)) log('error', 'API key refused', { secret: key, field, reason, why: message })
      }
    }
    told = now
  }
}
