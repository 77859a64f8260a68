import { unmarked } from '../rollout/commands.ts'
import { COMMAND } from '../sources/kubernetes-objects.ts'
import type { WeightChange } from '../sources/weights.ts'
import { isObject, isRecord, pathOf, type Api } from './api.ts'
import { EVENTS, MODEL_ROUTES } from './kinds.ts'
import { answered } from './trouble.ts'

/** Routes in a cluster, with the rights of whoever asks, which is written down as `fieldManager`. Throws what the server says. */
export function clusterRollouts(api: Api, fieldManager = 'modelroute-cli') {
  const path = (namespace: string, name: string) => pathOf(MODEL_ROUTES, namespace, name)
  return {
    /** The object as the server has it. */
    async read(namespace: string, name: string): Promise<unknown> {
      return answered(await api.call({ path: path(namespace, name) })).body
    },
    /** Metadata only: nobody who owns the manifest sees a change of it. */
    async command(namespace: string, name: string, rule: string, text: string): Promise<void> {
      const body = { metadata: { annotations: { [`${COMMAND}${rule}`]: text } } }
      answered(await api.call({ method: 'PATCH', path: path(namespace, name), body, contentType: 'application/merge-patch+json' }))
    },
    /** The command for a rule that stands on a route and was not dealt with yet. */
    standing: (annotations: Readonly<Record<string, string>>, rule: string): string => unmarked(annotations[`${COMMAND}${rule}`] ?? ''),
    /** What commands for the route were refused for, by the event that says it and how often; nothing where events are not for the asker. */
    async refusals(namespace: string, name: string): Promise<ReadonlyMap<string, string>> {
      const query = { fieldSelector: `regarding.name=${name},reason=RolloutCommandRefused` }
      const { status, body } = await api.call({ path: pathOf(EVENTS, namespace), query })
      const items: unknown = status === 200 && isRecord(body) ? body['items'] : undefined
      return new Map((Array.isArray(items) ? items.filter(isObject) : []).map((event) => [
        `${event.metadata.name} ${JSON.stringify(event['series'] ?? null)}`, typeof event['note'] === 'string' ? event['note'] : '',
      ]))
    },
    /** Only as long as the route is the one that was read. */
    async reweigh(namespace: string, name: string, resourceVersion: string, changes: readonly WeightChange[]): Promise<void> {
      const body = [
        { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
        ...changes.map(({ at: [rule, ref], weight, had }) =>
          ({ op: had ? 'replace' : 'add', path: `/spec/rules/${rule}/backendRefs/${ref}/weight`, value: weight })),
      ]
      answered(await api.call({ method: 'PATCH', path: path(namespace, name), query: { fieldManager }, body, contentType: 'application/json-patch+json' }))
    },
  }
}
