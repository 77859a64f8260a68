import { choice, int, obj, required, setOf, str } from './node.ts'
import { headerName, label, objectName, origin, url } from './scalar.ts'
import { keyReference, reference } from './reference.ts'
import type { CelRule, Node, ObjectNode } from './node.ts'

function tls(): ObjectNode {
  return obj('BackendTls', 'Speak TLS to the backend. Default: for a URL as it says, otherwise plain.', {
    caRef: keyReference('Secret or ConfigMap with the certificates that the backend is checked against.', 'ca.crt'),
    serverName: str('Name to ask for (SNI) and to check the certificate against. Default: the host.', {
      min: 1,
      max: 253,
    }),
    clientCertificateRef: reference('TLS Secret (tls.crt, tls.key) with which the gateway identifies itself.'),
  })
}

function credentials(): ObjectNode {
  const oauth2 = obj('OAuth2Client', 'Fetch a token with the client credentials grant (RFC 6749 section 4.4).', {
    tokenUrl: required(url('Address of the token endpoint.')),
    clientSecretRef: required(reference('Secret with client_id and client_secret.')),
    scopes: setOf('Scopes to ask for.', str('A scope.', { min: 1, max: 253 }), { max: 16 }),
  })
  return obj(
    'BackendCredentials',
    'What the gateway proves itself to the backend with, in place of what the caller sent.',
    {
      secretRef: keyReference('Secret with the credential.', 'token'),
      header: headerName('Header that carries it. Default: authorization.'),
      scheme: str('Word before it in the header, such as Bearer. Default: Bearer for authorization, else none.', {
        max: 32,
        pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_`|~]*$",
        expects: 'one word',
      }),
      oauth2,
    },
    {
      rules: [
        {
          rule: '[has(self.secretRef), has(self.oauth2)].filter(x, x).size() == 1',
          message: 'exactly one of secretRef, oauth2',
        },
        {
          rule: 'has(self.secretRef) || (!has(self.header) && !has(self.scheme))',
          message: 'header and scheme go with secretRef',
        },
      ],
    },
  )
}

const kind = "(has(self.kind) ? self.kind : 'Service')"

const rules: readonly CelRule[] = [
  {
    rule: `${kind} != 'URL' || (has(self.url) && !has(self.name) && !has(self.port) && !has(self.group) && ` +
      '!has(self.__namespace__) && !has(self.endpointMode))',
    message: 'kind URL needs url, and has no name, namespace, group, port or endpointMode',
  },
  { rule: `${kind} == 'URL' || (has(self.name) && !has(self.url))`, message: 'needs a name; url goes with kind URL' },
  { rule: `${kind} != 'Service' || has(self.port)`, message: 'a Service needs a port' },
  {
    rule: `!has(self.group) || self.group == (${kind} == 'Service' ? '' : 'serving.kserve.io')`,
    message: 'does not fit the kind: leave it out',
    at: 'group',
  },
  {
    rule: `!has(self.component) || ${kind} == 'InferenceService'`,
    message: 'goes with kind InferenceService',
    at: 'component',
  },
]

const target = (): Readonly<Record<string, Node>> => ({
  kind: choice('What it names: a Service (needs port), a KServe InferenceService, or a URL. Default: Service.',
    ['Service', 'InferenceService', 'URL']),
  group: choice('API group of the kind: empty for Service, serving.kserve.io for InferenceService. Follows kind.',
    ['', 'serving.kserve.io']),
  name: objectName('Name of the Service or InferenceService.'),
  namespace: label(`Namespace of the Service or InferenceService. Default: the route's own. Another namespace must
    allow it with a ReferenceGrant.`),
  port: int('Port of the Service. Required for a Service; an InferenceService has one of its own.', 1, 65_535),
  component: label(`Component of the InferenceService: predictor, transformer, or the name of a canary. Default: the
    transformer when there is one, else the predictor.`),
  url: origin(`Address outside the cluster, such as https://models.example.com, for kind URL. Its host must be one that
    the gateway allows.`),
  endpointMode: choice(`Pods: the gateway picks the pods itself. ServiceIP: it leaves that to the cluster address of the
    Service, as a service mesh needs it. Default: Pods.`, ['Pods', 'ServiceIP']),
  model: obj('BackendModel', 'What to ask the server for, where it differs from what the request names.', {
    name: str('Name of the model there. Default: as in the request.', { min: 1, max: 253 }),
    version: str('Version of the model there. Default: as in the request.', { min: 1, max: 63 }),
  }),
  protocol: choice(`What the server speaks: V1 and V2 are the inference protocols of KServe, GRPC is V2 over gRPC.
    Requests are translated when the caller speaks another. Default: Passthrough, nothing is looked at.`,
    ['Passthrough', 'V1', 'V2', 'GRPC', 'OpenAI']),
  tls: tls(),
  credentials: credentials(),
})

/** A server to call, without a share of the traffic. */
export function callee(description: string): ObjectNode {
  return obj('CalleeRef', description, target(), { rules })
}

/** A variant of a rule: a server and its share. */
export function backendRef(): ObjectNode {
  return obj(
    'BackendRef',
    'A variant: where its requests go, and how many of them.',
    {
      variant: required(label('Name of the variant, unique in the rule, such as stable or canary.')),
      ...target(),
      weight: int(`Target share: weight divided by the sum of the weights of the same priority. The controller never
        writes it. 0 = no regular traffic, as for a variant only mirrored to or overridden to. Default: 1.`, 0,
        1_000_000),
      priority: int(`0 is used first; a higher one is a fallback for when no lower one can take the request.
        Default: 0.`, 0, 15),
    },
    { rules },
  )
}
