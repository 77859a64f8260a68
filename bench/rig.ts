import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cache, onPath, otherCore, outputOf, said, start } from './processes.ts'

/** One piece of load; `rig/main.go` says what each kind does. */
export type Job = Readonly<{
  port: number
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string
} & (
  | { kind: 'closed'; connections: number; ms: number }
  | { kind: 'open'; rate: number; connections: number; ms: number }
  | { kind: 'events'; connections: number }
  | { kind: 'upload' | 'download'; connections: number; bytes: number }
)>

/** Milliseconds; `wrong` counts answers that were not 200 and connections that broke. */
export type Result = Readonly<{ done: number; wrong: number; ms: number; p50: number; p99: number }>

/** Backend and load in one program on one core. */
export type Rig = Readonly<{ ports: readonly number[]; run(job: Job): Promise<Result> }>

export const usualBody = `{"inputs":[{"name":"amount","datatype":"FP32","shape":[1],"data":[120]}],"pad":"${'x'.repeat(943)}"}`

/** @param sleep its core sleeps whenever it has nothing to do, and waking it is work of the proxy's */
export async function startRig(sleep = false): Promise<Rig> {
  const go = await onPath('go')
  if (!go) throw new Error('the load generator and the backend are written in Go: apt-get install golang-go')
  const program = join(cache, 'bench-rig')
  await mkdir(cache, { recursive: true })
  await outputOf(otherCore, [go, '-C', join(import.meta.dirname, 'rig'), 'build', '-o', program, '.'])
  const started = start(otherCore, [program])
  const { ports } = await said<{ ports: number[] }>(started) ?? { ports: [] }
  return {
    ports,
    async run(job) {
      started.child.stdin?.write(`${JSON.stringify({ ...job, sleep })}\n`)
      const result = await said<Result>(started)
      if (result === undefined) throw new Error('the load generator ended')
      return result
    },
  }
}
