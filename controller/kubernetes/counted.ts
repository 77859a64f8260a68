import type { Answer, Api, Call } from './api.ts'

/** One call of the API server. `verb`: as Kubernetes calls it, as far as we know; `code`: 0 where there was no answer. */
export type CallRecord = Readonly<{ verb: string; resource: string; code: number; seconds: number }>

/** The same API, and every call is told when it is over. */
export function counted(api: Api, tell: (call: CallRecord) => void): Api {
  async function timed(verb: string, { path }: Call, answer: Promise<Answer>): Promise<Answer> {
    const begun = performance.now()
    const settled = await answer
    tell({ verb, resource: resourceOf(path), code: settled.status, seconds: (performance.now() - begun) / 1000 })
    return settled
  }
  return {
    ...api,
    call: (call) => timed((call.method ?? 'GET').toLowerCase(), call, api.call(call)),
    stream: (call, onData) => timed('watch', call, api.stream(call, onData)),
  }
}

/** `/apis/apps/v1/namespaces/ml/controllerrevisions/x` is about controllerrevisions: of kinds, there are few. */
export function resourceOf(path: string): string {
  const [, , ...parts] = path.split('/')
  const rest = parts.slice(path.startsWith('/api/') ? 1 : 2)
  return (rest[0] === 'namespaces' ? rest[2] : rest[0]) ?? ''
}
