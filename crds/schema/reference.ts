import { obj, str } from './node.ts'
import { label, objectName } from './scalar.ts'
import type { Node, ObjectNode } from './node.ts'

const object = (): Readonly<Record<string, Node>> => ({
  name: { ...objectName('Name of the object.'), required: true },
  namespace: label(`Namespace of the object. Default: the route's own. Another namespace must allow it with a
    ReferenceGrant; one that does not reads as if the object were missing.`),
})

/** A whole object. */
export function reference(description: string): ObjectNode {
  return obj('Reference', description, object())
}

/** One key of a Secret or ConfigMap; the default key differs from place to place and is part of the description. */
export function keyReference(description: string, defaultKey: string): ObjectNode {
  return obj('KeyReference', `${description} Default key: ${defaultKey}.`, {
    ...object(),
    key: str('Key of its data, where it is not the default one.', {
      min: 1,
      max: 253,
      pattern: '^[-._a-zA-Z0-9]+$',
      expects: 'letters, digits, "-", "_" and "."',
    }),
  })
}
