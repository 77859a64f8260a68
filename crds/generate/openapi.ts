import { group, version } from '../schema/resource.ts'
import { sizePattern } from '../schema/scalar.ts'
import type { Node } from '../schema/node.ts'
import type { Resource } from '../schema/resource.ts'

type Json = Readonly<Record<string, unknown>>

/** The node as a structural schema of Kubernetes. No defaults: inside lists they show as a diff in GitOps tools. */
function openApi(node: Node): Json {
  const rules = node.rules?.map(({ rule, message, at }) => ({
    rule,
    message,
    ...(at === undefined ? {} : { fieldPath: `.${at}` }),
  }))
  return {
    description: node.description,
    ...shape(node),
    ...(rules === undefined ? {} : { 'x-kubernetes-validations': rules }),
  }
}

function shape(node: Node): Json {
  switch (node.kind) {
    case 'string':
      return {
        type: 'string',
        ...(node.values === undefined ? { maxLength: node.max } : { enum: node.values }),
        ...(node.min === undefined ? {} : { minLength: node.min }),
        ...(node.pattern === undefined ? {} : { pattern: node.pattern }),
        ...(node.format === undefined ? {} : { format: node.format }),
      }
    case 'integer':
      return { type: 'integer', format: node.format, minimum: node.min, maximum: node.max }
    case 'boolean':
      return { type: 'boolean' }
    case 'size':
      return {
        'x-kubernetes-int-or-string': true,
        anyOf: [{ type: 'integer' }, { type: 'string' }],
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        maxLength: 16,
        pattern: sizePattern,
      }
    case 'free':
      return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    case 'strings':
      return {
        type: 'object',
        maxProperties: node.max,
        additionalProperties: { type: 'string', maxLength: node.maxValue },
      }
    case 'list':
      return {
        type: 'array',
        ...(node.min === undefined ? {} : { minItems: node.min }),
        maxItems: node.max,
        'x-kubernetes-list-type': node.merge,
        ...(node.keys.length === 0 ? {} : { 'x-kubernetes-list-map-keys': node.keys }),
        items: openApi(node.items),
      }
  }
  return {
    type: 'object',
    ...(node.minFields === undefined ? {} : { minProperties: node.minFields }),
    ...requiredOf(node.fields),
    properties: Object.fromEntries(Object.entries(node.fields).map(([name, field]) => [name, openApi(field)])),
  }
}

function requiredOf(fields: Readonly<Record<string, Node>>): Json {
  const names = Object.keys(fields).filter((name) => fields[name]?.required)
  return names.length === 0 ? {} : { required: names }
}

/** The CustomResourceDefinition. */
export function crd(resource: Resource): Json {
  const { kind, plural, singular, shortName, columns, labels } = resource
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${group}`,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
    spec: {
      group,
      scope: 'Namespaced',
      // The category may not be named like the kind: kubectl patch would then find two resources.
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [shortName], categories: ['ml'] },
      versions: [{
        name: version,
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: columns.map(({ path, ...column }) => ({ ...column, jsonPath: path })),
        schema: {
          openAPIV3Schema: {
            description: resource.description,
            type: 'object',
            required: ['spec'],
            properties: {
              apiVersion: { type: 'string', description: `Always ${group}/${version}.` },
              kind: { type: 'string', description: `Always ${kind}.` },
              metadata: { type: 'object' },
              spec: openApi(resource.spec),
              status: openApi(resource.status),
            },
          },
        },
      }],
    },
  }
}
