import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { isMap, isScalar, parseAllDocuments, type Document } from 'yaml'
import type { ModelRoute } from '../../crds/types.gen.ts'
import { replaceFile } from './files-edit.ts'
import { isRouteSpec } from './route-spec.ts'
import type { WeightChange } from './weights.ts'

const Named = v.object({
  kind: v.literal('ModelRoute'),
  metadata: v.object({ name: v.string(), namespace: v.optional(v.string(), 'default') }),
  spec: v.unknown(),
})

/** The weights of one route in the file with its manifest. Not a character is changed but theirs. */
export function fileWeights(path: string, namespace: string, name: string) {
  const find = async (): Promise<Readonly<{ text: string; document: Document; spec: ModelRoute['spec'] }>> => {
    const text = await readFile(path, 'utf8')
    const documents = parseAllDocuments(text)
    for (const document of Array.isArray(documents) ? documents : []) {
      const [fault] = document.errors
      if (fault) throw new Error(`${path}: ${fault.message.split('\n')[0] ?? ''}`)
      const read = v.safeParse(Named, isMap(document.contents) ? document.toJS() : undefined)
      if (!read.success || read.output.metadata.name !== name || read.output.metadata.namespace !== namespace) continue
      const { spec } = read.output
      if (!isRouteSpec(spec)) throw new Error(`ModelRoute ${namespace}/${name} does not hold to its schema; see modelroute check -f ${path}`)
      return { text, document, spec }
    }
    throw new Error(`${path} has no ModelRoute ${namespace}/${name}`)
  }
  return {
    read: async (): Promise<ModelRoute['spec']> => (await find()).spec,
    async reweigh(changes: readonly WeightChange[]): Promise<void> {
      const { text, document } = await find()
      const edits = changes.map((change) => editOf(document, text, change)).toSorted((a, b) => b.from - a.from)
      const edited = edits.reduce((sofar, { from, to, put }) => sofar.slice(0, from) + put + sofar.slice(to), text)
      await replaceFile(path, edited, 0o644)
    },
  }
}

type Edit = Readonly<{ from: number; to: number; put: string }>

/** The weight that is there is replaced; where there is none, it goes behind the name of the variant. */
function editOf(document: Document, text: string, { at: [rule, ref], weight }: WeightChange): Edit {
  const place = ['spec', 'rules', rule, 'backendRefs', ref]
  const known = document.getIn([...place, 'weight'], true)
  if (isScalar(known) && known.range) return { from: known.range[0], to: known.range[1], put: String(weight) }
  const map = document.getIn(place)
  const pair = isMap(map) ? map.items.find(({ key }) => isScalar(key) && key.value === 'variant') : undefined
  if (!isMap(map) || !isScalar(pair?.key) || !isScalar(pair.value) || !pair.key.range || !pair.value.range) {
    throw new Error('the variant is written with an alias; change the weight by hand')
  }
  const [begin] = pair.key.range
  const [, end] = pair.value.range
  const quote = text[begin] === '"' ? '"' : ''
  const put = `${quote}weight${quote}: ${weight}`
  if (map.flow === true) return { from: end, to: end, put: `, ${put}` }
  const line = text.indexOf('\n', end)
  const after = line === -1 ? text.length : line
  return { from: after, to: after, put: `\n${' '.repeat(begin - text.lastIndexOf('\n', begin) - 1)}${put}` }
}
