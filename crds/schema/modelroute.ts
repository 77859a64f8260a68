import { bool, int, list, listMap, obj, required, setOf, str } from './node.ts'
import { MAX_INT32, duration, headerName, hostname, label } from './scalar.ts'
import { auth, authorization, methods } from './auth.ts'
import { conditions } from './condition.ts'
import { reference } from './reference.ts'
import { ageColumn, conditionColumn, integerColumn } from './resource.ts'
import { rule, ruleStatus } from './rule.ts'
import type { ObjectNode } from './node.ts'
import type { Resource } from './resource.ts'

function cors(): ObjectNode {
  const headers = (description: string) => setOf(description, headerName('Name of a header.'), { max: 64 })
  return obj(
    'Cors',
    'Which web pages may call, for every rule. Preflight requests are answered by the gateway.',
    {
      allowOrigins: setOf('Origins that may call, such as https://app.example.com, https://*.example.com or *.',
        str('An origin.', {
          max: 253,
          pattern: '^(\\*|[a-z][a-z0-9+.-]*://[^/?#@ \\t\\r\\n]+)$',
          expects: 'an origin such as https://app.example.com, without a path, or *',
        }), { max: 64 }),
      allowMethods: setOf('Methods that they may use, or *. Default: GET, HEAD, POST.', str('A method.', {
        max: 16,
        pattern: `^(\\*|${methods.join('|')})$`,
        expects: `*, ${methods.join(', ')}`,
      }), { max: 10 }),
      allowHeaders: headers('Headers that they may send, or *. Default: those that need no leave.'),
      exposeHeaders: headers('Headers of the answer that they may read, or *.'),
      allowCredentials: bool('Whether they may send cookies and credentials. Not with origin *. Default: false.'),
      maxAge: duration('How long a browser may remember the answer. Default: 5s.'),
    },
    {
      rules: [{
        rule: '!(has(self.allowCredentials) && self.allowCredentials && has(self.allowOrigins) && ' +
          "'*' in self.allowOrigins)",
        message: 'credentials need the origins by name, not *',
        at: 'allowOrigins',
      }],
    },
  )
}

const spec = obj('ModelRouteSpec', 'What the route is to do.', {
  gatewayNames: setOf('Fleets of proxies that serve the route. Default: default.', label('Name of a fleet.'), {
    min: 1,
    max: 16,
  }),
  hostnames: setOf(`Hosts that the route is for, such as models.example.com or *.example.com (any name below it).
    Default: any.`, hostname('A host name.'), { max: 16 }),
  tls: obj('RouteTls', 'Certificates of the hosts, chosen by the name that the client asks for (SNI).', {
    certificateRefs: required(list('TLS Secrets (tls.crt, tls.key).', reference('A TLS Secret.'), {
      min: 1,
      max: 16,
    })),
  }),
  auth: auth('Who may call, for every rule that says nothing of its own. Default: everyone.'),
  authorization: authorization('What callers may do, for every rule that says nothing of its own. Default: all.'),
  cors: cors(),
  rules: required(listMap('What is served. Each rule says which requests it is for and where they go.', ['name'],
    rule(), { min: 1, max: 64 })),
})

const status = obj('ModelRouteStatus', 'What the controller and the proxies made of it.', {
  observedGeneration: int('Generation of the route that this was said of.', 0, Number.MAX_SAFE_INTEGER),
  weights: str('Shares in force, in percent, such as "infer: stable=95 canary=5".', { max: 4096 }),
  dataPlane: obj('DataPlaneStatus', 'The proxies that serve the route.', {
    programmed: int('Proxies that have this generation in force.', 0, MAX_INT32),
    total: int('Proxies that are connected.', 0, MAX_INT32),
    rejected: int('Proxies that refused it.', 0, MAX_INT32),
    version: str('Version of the table that was pushed.', { max: 128 }),
  }),
  rules: listMap('Each rule as it is in force.', ['name'], ruleStatus(), { max: 64 }),
  conditions: conditions('Accepted, ResolvedRefs, Programmed, Progressing, and PartiallyInvalid where it is so.'),
})

export const modelRoute: Resource = {
  kind: 'ModelRoute',
  plural: 'modelroutes',
  singular: 'modelroute',
  shortName: 'mr',
  description: 'Routes inference requests to the variants of a model: which requests, where to, in which shares.',
  labels: {},
  columns: [
    { name: 'Hostnames', type: 'string', description: 'Hosts that the route is for.', path: '.spec.hostnames' },
    { name: 'Weights', type: 'string', description: 'Shares in force, in percent.', path: '.status.weights' },
    {
      name: 'Rollout', type: 'string', description: 'Where its rollouts are.',
      path: '.status.conditions[?(@.type=="Progressing")].reason',
    },
    conditionColumn('Programmed', 'Whether every connected proxy has it in force.'),
    ageColumn,
    conditionColumn('Accepted', 'Whether the controller accepts it.', 1),
    conditionColumn('ResolvedRefs', 'Whether everything it names is there.', 1),
    integerColumn('Proxies', 'Proxies that have it in force.', '.status.dataPlane.programmed'),
    integerColumn('Connected', 'Proxies that are connected.', '.status.dataPlane.total'),
  ],
  spec,
  status,
}
