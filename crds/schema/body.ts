import { choice, free, listMap, obj, required, setOf, size } from './node.ts'
import { cel, decimal, headerName, headerValue, percent, pointer } from './scalar.ts'
import { keyReference } from './reference.ts'
import type { Node, ObjectNode } from './node.ts'

export function sizeLimits(): ObjectNode {
  return obj('SizeLimits', 'How large a body may be: bytes, or with a suffix (k, M, G, Ki, Mi, Gi).', {
    request: size('Body of the request. Default: no limit on pass-through, 16Mi where a rule must read it.'),
    response: size('Body of the answer. Default: no limit on pass-through, 16Mi where a rule must read it.'),
  })
}

export function validation(): ObjectNode {
  const rules = [
    {
      rule: "(self.source == 'Inline') == has(self.schema)",
      message: 'schema goes with source Inline, which needs it',
    },
    {
      rule: "(self.source == 'ConfigMap') == has(self.configMapRef)",
      message: 'configMapRef goes with source ConfigMap, which needs it',
    },
  ]
  const fields: Readonly<Record<string, Node>> = {
    source: required(choice(`Where the schema comes from: the model's own metadata (names, datatypes and shapes), this
      object, or a ConfigMap.`, ['ModelMetadata', 'Inline', 'ConfigMap'])),
    schema: free('JSON Schema (draft 2020-12, no remote references), for source Inline.'),
    configMapRef: keyReference('ConfigMap that holds the JSON Schema, for source ConfigMap.',
      'schema.json'),
  }
  return obj('Validation', 'Check bodies before they go on.', {
    request: obj('RequestValidation', 'Refuse a request that does not fit: 422, with each fault.', fields, { rules }),
    response: obj(
      'ResponseValidation',
      'Check what the model answers.',
      {
        ...fields,
        onError: choice('Reject answers 502 in its place; Report only counts and logs. Default: Report.',
          ['Reject', 'Report']),
      },
      { rules },
    ),
  })
}

function headers(): ObjectNode {
  const header = obj('HeaderValue', 'A header.', {
    name: required(headerName('Name of the header.')),
    value: required(headerValue('Its value.')),
  })
  return obj('HeaderChanges', 'Changes to the headers, in the order remove, set, add.', {
    set: listMap('Replace the header, or add it.', ['name'], header, { max: 32 }),
    add: listMap('Add a value beside those that are there.', ['name'], header, { max: 32 }),
    remove: setOf('Take headers away.', headerName('Name of the header.'), { max: 32 }),
  })
}

function body(): ObjectNode {
  const value = obj('BodyValue', 'A value to write.', {
    pointer: required(pointer('Where in the body, as a JSON Pointer.')),
    value: required(cel('CEL expression that gives the value.')),
  })
  return obj('BodyChanges', 'Changes to the JSON body, in the order remove, set.', {
    set: listMap('Write values.', ['pointer'], value, { max: 32 }),
    remove: setOf('Take values away, such as /ssn.', pointer('Where in the body, as a JSON Pointer.'), { max: 32 }),
  })
}

export function transform(): ObjectNode {
  const confidence = obj('Confidence', 'Mark answers that the model is not sure of.', {
    pointer: required(pointer('Number, or list of numbers, of the answer whose largest is the confidence.')),
    low: required(decimal('Below this the answer carries x-modelroute-confidence: low.')),
  })
  const enrich = obj('Enrichment', 'Say in the answer where it came from.', {
    pointer: pointer('Object of the JSON body that gets variant and model version. Default: headers only.'),
    confidence,
  })
  return obj('Transform', 'Change requests on the way in and answers on the way out.', {
    request: obj('RequestTransform', 'Changes to the request.', { headers: headers(), body: body() }),
    response: obj('ResponseTransform', 'Changes to the answer.', { headers: headers(), body: body(), enrich }),
  })
}

export function logging(): ObjectNode {
  const predictions = obj('PredictionLog', 'Keep a sample of requests with what the model answered.', {
    samplePercent: required(percent('Share of the requests that is kept.')),
    bodies: choice('What is kept of the bodies. Default: None.', ['None', 'Redacted', 'Full']),
    redact: setOf(`JSON Pointers whose values are blotted out, * for every element, such as /instances/*/ssn. For bodies
      Redacted.`, pointer('A JSON Pointer.'), { max: 32 }),
  })
  return obj('Logging', 'What is written down beyond the access log.', {
    predictions,
    audit: choice('Buffered: written soon. Strict: written before the answer goes out. Default: Buffered.',
      ['Buffered', 'Strict']),
  })
}
