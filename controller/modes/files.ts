import { join } from 'node:path'
import { fileToken } from '../actions/file-token.ts'
import { systemClock } from '../kubernetes/clock.ts'
import type { Log } from '../log.ts'
import { freshPepper } from '../pepper.ts'
import { manifestOf } from '../rotation.ts'
import { addRotated } from '../sources/files-rotated.ts'
import { FileRevisions } from '../sources/files-revisions.ts'
import { FileRollouts } from '../sources/files-rollouts.ts'
import { FileSource } from '../sources/files.ts'
import { fileWeights } from '../sources/files-weights.ts'
import { reweighings } from '../sources/weights.ts'
import { tellOfManifests } from './manifests.ts'
import type { Mode } from './mode.ts'

/**
 * Over files there is nobody to write to: what is refused is logged, and shown on the control port.
 * @param stateDir keeps each route's last good rules and rollouts over a restart; undefined: they end with the process
 * @param tokenFile of the console's commands; undefined: one is made in `stateDir`
 */
export function fileMode(paths: readonly string[], stateDir: string | undefined, tokenFile: string | undefined, log: Log): Mode {
  const source = new FileSource({ paths, watch: true })
  const fileIn = (name: string) => (stateDir === undefined ? undefined : join(stateDir, name))
  const revisions = new FileRevisions(fileIn('revisions.json'), log)
  const rollouts = new FileRollouts(fileIn('rollouts.json'), log)

  const told = tellOfManifests(source, log)
  source.onProblems((_, fresh) => {
    for (const problem of fresh) told.problem(problem)
  })

  return {
    async start(onSnapshot, recorder) {
      const stored = await revisions.load()
      await rollouts.load(recorder)
      await source.start((snapshot) => onSnapshot({ ...snapshot, revisions: stored }))
    },
    async stop() {
      await source.stop()
      await Promise.all([revisions.flush(), rollouts.flush()])
    },
    pepper: () => Promise.resolve(freshPepper()),
    observed: () => ({ watches: [], queues: {} }),
    problems: () => source.problems(),
    identify: () => fileToken({ file: tokenFile, stateDir, log }),
    async reweigh({ namespace, name }, rule, weights) {
      const file = source.locate('ModelRoute', namespace, name, '')?.file
      if (file === undefined || file === 'stdin') return 'the manifest is in no file that could be written'
      try {
        const manifest = fileWeights(file, namespace, name)
        const wanted = new Map(weights.map(({ variant, weight }) => [variant, weight]))
        const changes = reweighings(await manifest.read(), `${namespace}/${name}`, rule, wanted)
        if (changes.length > 0) await manifest.reweigh(changes.map(({ change }) => change))
        return undefined
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    },
    makeKey: (key) => addRotated(paths, manifestOf(key)),
    report(view) {
      told.resources(view.compiled)
      const inForce = [...view.compiled.routes].flatMap(([key, { inForce }]) => (inForce ? [[key, inForce] as const] : []))
      revisions.keep(new Map(inForce))
      rollouts.keep(view)
    },
    leading: () => true,
    clock: systemClock,
    order: () => undefined,
    surpass: () => {},
    revision: (route) => revisions.of(route).at(-1)?.revision,
    history: ({ namespace, name }) => Promise.resolve(revisions.of(`${namespace}/${name}`)),
    // Its line in the log is all there is to tell.
    tell: () => {},
    claim: () => {},
    handled: () => {},
  }
}
