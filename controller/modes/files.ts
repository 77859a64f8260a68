import type { Log } from '../push/session.ts'
import { FileSource, type LocatedProblem } from '../sources/files.ts'
import type { Mode } from './mode.ts'

/** Over files there is nobody to write to: what is refused is logged, and shown on the control port. */
export function fileMode(paths: readonly string[], log: Log): Mode {
  const source = new FileSource({ paths, watch: true })
  const place = ({ file, line, field, reason, message }: LocatedProblem) => ({ file, line, field, reason, why: message })
  source.onProblems((_, fresh) => {
    for (const problem of fresh) log('error', 'manifest refused', place(problem))
  })
  let told = new Set<string>()
  return {
    start: (onSnapshot) => source.start(onSnapshot),
    stop: () => source.stop(),
    problems: () => source.problems(),
    report({ compiled }) {
      const now = new Set<string>()
      for (const [kind, outcomes] of [['ModelRoute', compiled.routes], ['RateLimitPolicy', compiled.policies]] as const) {
        for (const [key, { generation, problems }] of outcomes) {
          for (const { field, reason, message, severity } of problems) {
            const id = [kind, key, generation, field, reason, message].join('\n')
            now.add(id)
            if (told.has(id)) continue
            const [namespace = '', name = ''] = key.split('/')
            const at = source.locate(kind, namespace, name, field)
            const fields = { kind, namespace, name, ...at, field, reason, why: message }
            log(severity === 'error' ? 'error' : 'warn', 'manifest refused', fields)
          }
        }
      }
      told = now
    },
  }
}
