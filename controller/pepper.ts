import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { keepSecret } from './certificates/secret.ts'
import type { Api } from './kubernetes/api.ts'
import { backoff } from './kubernetes/backoff.ts'
import { sleep, systemClock, type Clock } from './kubernetes/clock.ts'
import type { Log } from './log.ts'

/** The Secret of the controller's own namespace, and its one key. The chart mounts it into the proxies. */
const NAME = 'modelroute-pepper'
const KEY = 'pepper'

/** Bytes; the text of a pepper has two digits for each. */
const SIZE = 32

/** What API keys are digested with: the bytes of the text, so that a file and a Secret of one content are one pepper. */
export async function pepperFrom(file: string): Promise<Uint8Array> {
  const text = (await readFile(file, 'utf8')).trim()
  if (text.length < SIZE) throw new Error(`--pepper ${file}: holds ${text.length} characters, and ${SIZE} are the least`)
  return Buffer.from(text)
}

export function freshPepper(): Uint8Array {
  return Buffer.from(randomBytes(SIZE).toString('hex'))
}

/**
 * The pepper of the installation, made where there is none. It waits for the API server as the first table does:
 * without it every key would be unknown.
 */
export async function keptPepper(
  { api, log, signal, clock = systemClock }: Readonly<{ api: Api; log: Log; signal: AbortSignal; clock?: Clock }>,
): Promise<Uint8Array> {
  for (let failures = 0; ; failures++) {
    const kept = await keepSecret<string>({ api, name: NAME, signal }, (data) => {
      const found = data?.[KEY]?.trim() ?? ''
      if (found.length >= SIZE) return Promise.resolve({ value: found })
      const value = randomBytes(SIZE).toString('hex')
      return Promise.resolve({ value, write: { [KEY]: value } })
    })
    if ('value' in kept) {
      if (kept.wrote) log('info', 'pepper of API keys created', { secret: `${api.namespace}/${NAME}` })
      return Buffer.from(kept.value)
    }
    if (signal.aborted) return freshPepper()
    if (kept.denied) {
      const why = `${kept.problem}; until it may, a proxy that starts while no controller runs knows no API key`
      log('error', 'pepper of API keys: the controller may not keep it', { why })
      return freshPepper()
    }
    if (failures === 0) log('warn', 'pepper of API keys: trying again', { why: kept.problem })
    await sleep(clock, backoff(failures, 10_000), signal)
  }
}
