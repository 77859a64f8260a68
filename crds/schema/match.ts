import { choice, listMap, obj, required, setOf, str } from './node.ts'
import { cel, headerName, label, pointer } from './scalar.ts'
import { methods, names } from './auth.ts'
import type { Node, ObjectNode } from './node.ts'

/** The parts that normalisation would change; `#` and `?` end a path. As Gateway API's HTTPPathMatch. */
const unnormalised = ["'//'", "'/./'", "'/../'", "'#'", "'?'"].map((part) => `!self.value.contains(${part})`)
const pathRule = [
  "self.value.startsWith('/')",
  ...unnormalised,
  "!self.value.endsWith('/.')",
  "!self.value.endsWith('/..')",
].join(' && ')

function path(): ObjectNode {
  return obj(
    'PathMatch',
    'The path of the request, without its query. Default: every path (PathPrefix /).',
    {
      type: choice(`How value is compared. PathPrefix compares whole elements: /v1 matches /v1 and /v1/x, not /v1x.
        RegularExpression is RE2 and must match the whole path. Default: PathPrefix.`,
        ['Exact', 'PathPrefix', 'RegularExpression']),
      value: required(str('The path, such as /v2/models/fraud.', { min: 1, max: 1024 })),
    },
    {
      rules: [{
        rule: `(has(self.type) && self.type == 'RegularExpression') || (${pathRule})`,
        message: 'must begin with / and be without //, /./, /../, # and ?',
        at: 'value',
      }],
    },
  )
}

/** A comparison with a string; `keyed` names what it is compared with. */
function stringMatch(name: string, description: string, keyed: Readonly<Record<string, Node>>): ObjectNode {
  return obj(
    name,
    description,
    {
      ...keyed,
      type: choice(`How value is compared. RegularExpression is RE2 and must match the whole value. Present asks only
        that it is there. Default: Exact.`, ['Exact', 'Prefix', 'RegularExpression', 'Present']),
      value: str('What it is compared with, case-sensitively. Required unless type is Present.', { max: 4096 }),
    },
    {
      rules: [{
        rule: "has(self.type) && self.type == 'Present' ? !has(self.value) : has(self.value)",
        message: 'value is required, and not used when type is Present',
        at: 'value',
      }],
    },
  )
}

function model(): ObjectNode {
  return obj(
    'ModelMatch',
    'The model that the request names: the model of an OpenAI body, of a V1 or V2 path, or of a gRPC call.',
    {
      type: choice('How name is compared. RegularExpression is RE2 and must match the whole name. Default: Exact.',
        ['Exact', 'Prefix', 'RegularExpression']),
      name: required(str('Name of the model.', { min: 1, max: 253 })),
      version: str('Version of the model, compared exactly. Default: any, also none.', { min: 1, max: 63 }),
    },
  )
}

function principal(): ObjectNode {
  const claim = obj('ClaimMatch', 'A claim of the token.', {
    name: required(str('Name of the claim.', { min: 1, max: 253 })),
    value: required(str('Its value, or one of its values when it is a list.', { max: 253 })),
  })
  return obj('PrincipalMatch', 'The authenticated caller. All of what is given must hold.', {
    consumers: names('Consumers; the caller must be one of them.'),
    groups: names('Groups; the caller must be in one of them.'),
    tiers: names('Tiers; the caller must have one of them.', 16),
    claims: listMap('Claims that the token must carry, all of them.', ['name'], claim, { max: 16 }),
  })
}

export function match(): ObjectNode {
  const header = stringMatch('HeaderMatch', 'A header of the request.', {
    name: required(headerName('Name of the header; upper and lower case are the same.')),
  })
  const query = stringMatch('QueryParamMatch', 'A query parameter of the request.', {
    name: required(str('Name of the parameter, case-sensitive, decoded.', { min: 1, max: 128 })),
  })
  const body = stringMatch('BodyMatch', 'A value of the JSON body.', {
    pointer: required(pointer('Where in the body, as a JSON Pointer.')),
  })
  return obj('Match', 'All of its parts must hold; an empty match takes every request.', {
    path: path(),
    method: choice('The HTTP method. Default: any.', methods),
    headers: listMap('Headers, all of them.', ['name'], header, { max: 16 }),
    queryParams: listMap('Query parameters, all of them. The first value of a repeated one counts.', ['name'], query,
      { max: 16 }),
    model: model(),
    body: listMap('Values in the JSON body, all of them. The body is read as far as they need it.', ['pointer'], body,
      { max: 8 }),
    principal: principal(),
    countries: setOf('Countries of the client (ISO 3166-1 alpha-2), by the geo file or header of the gateway.',
      str('A country.', { max: 2, pattern: '^[A-Z]{2}$', expects: 'two upper case letters, such as DE' }), { max: 64 }),
    sourceCIDRs: setOf('Networks that the client address must be in, one of them.',
      str('A network, such as 10.0.0.0/8 or 2001:db8::/32.', {
        max: 49,
        pattern: '^[0-9a-fA-F:.]{2,45}/[0-9]{1,3}$',
        expects: 'a network such as 10.0.0.0/8 or 2001:db8::/32',
      }), { max: 64 }),
    when: cel(`CEL expression over request and principal that must be true, such as
      request.headers["x-beta"] == "1".`),
  })
}

/** Names a variant of the same rule's backendRefs. */
export function variantName(description: string): Node {
  return required(label(description))
}
