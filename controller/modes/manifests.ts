import type { Compiled } from '../compile/compiled.ts'
import type { Log } from '../log.ts'
import type { FileSource, LocatedProblem } from '../sources/files.ts'
import type { Problem } from '../sources/snapshot.ts'

type Telling = Readonly<{
  /** What is wrong with a file. */
  problem(problem: LocatedProblem): void
  /** What became of the resources: each refusal once, and each edit that is accepted. */
  resources(compiled: Compiled): void
}>

/** Logs what becomes of manifests: over files there is no status to look at. */
export function tellOfManifests(source: FileSource, log: Log): Telling {
  let before: Compiled | undefined
  let told = new Set<string>()
  /** By kind and name, the generation that is accepted; undefined where none is. Nothing: nothing has been told yet. */
  let accepted: Map<string, number | undefined> | undefined

  function tell({ severity, field, reason, message }: Problem, where: Readonly<Record<string, unknown>>): void {
    const refused = severity === 'error'
    log(refused ? 'error' : 'warn', refused ? 'manifest refused' : 'manifest', { ...where, field, reason, why: message })
  }

  return {
    problem: (problem) => tell(problem, { file: problem.file, line: problem.line }),
    resources(compiled) {
      // Reports come with each answer of a proxy, too.
      if (compiled === before) return
      before = compiled
      const { routes, policies } = compiled
      const [wrong, known] = [new Set<string>(), new Map<string, number | undefined>()]
      for (const [kind, outcomes] of [['ModelRoute', routes], ['RateLimitPolicy', policies]] as const) {
        for (const [key, { generation, problems, accepted: { status } }] of outcomes) {
          const [namespace = '', name = ''] = key.split('/')
          for (const problem of problems) {
            const id = [kind, key, generation, problem.field, problem.reason, problem.message].join('\n')
            wrong.add(id)
            if (!told.has(id)) tell(problem, { kind, namespace, name, ...source.locate(kind, namespace, name, problem.field) })
          }
          const id = `${kind}/${key}`
          // What is accepted after it was refused is news, also where it is as it was before.
          const now = status === 'True' ? generation : undefined
          known.set(id, now)
          if (accepted !== undefined && now !== undefined && accepted.get(id) !== now) log('info', 'manifest accepted', { kind, namespace, name, ...source.locate(kind, namespace, name, '') })
        }
      }
      told = wrong
      for (const id of accepted?.keys() ?? []) {
        const [kind, namespace, name] = id.split('/')
        if (!known.has(id)) log('info', 'manifest gone', { kind, namespace, name })
      }
      if (accepted === undefined) log('info', 'manifests accepted', { routes: acceptedOf(routes), policies: acceptedOf(policies) })
      accepted = known
    },
  }
}

const acceptedOf = (outcomes: Compiled['routes'] | Compiled['policies']): number =>
  [...outcomes.values()].filter(({ accepted }) => accepted.status === 'True').length
