import { bool, choice, list, obj, required, setOf, str, strings } from './node.ts'
import { cel, duration, headerName, url } from './scalar.ts'
import { keyReference, reference } from './reference.ts'
import type { ListNode, ObjectNode } from './node.ts'

/** Sets of names by which callers are picked out; also used by matches, authorization and limits. */
export function names(description: string, max = 64): ListNode {
  return setOf(description, str('A name, compared exactly.', { min: 1, max: 253 }), { max })
}

function claims(): ObjectNode {
  const claim = (description: string) => str(description, { min: 1, max: 253 })
  return obj('IdentityClaims', 'Which claims of the token say who the caller is.', {
    consumer: claim('Claim that names the consumer. Default: sub.'),
    groups: claim('Claim with the list of groups. Default: groups.'),
    tier: claim('Claim with the tier. Default: tier.'),
    scopes: claim('Claim with the scopes, a list or separated by spaces. Default: scope.'),
  })
}

function apiKey(): ObjectNode {
  const selector = obj('KeySelector', 'Which API keys of the namespace count. Default: all of them.', {
    matchLabels: strings('Labels that the Secret of the key must carry.', 16, 63),
  })
  return obj(
    'ApiKeyAuth',
    `Keys kept in Secrets of the route's namespace that are labelled modelroute.io/credential=api-key.`,
    {
      in: required(choice('Where the request carries the key. Bearer is the Authorization header.',
        ['Header', 'Query', 'Bearer'])),
      name: headerName('Name of the header or query parameter, such as x-api-key. Not for Bearer.'),
      selector,
    },
    {
      rules: [{
        rule: "self.__in__ == 'Bearer' ? !has(self.name) : has(self.name)",
        message: 'name is required for Header and Query, and not used for Bearer',
      }],
    },
  )
}

function jwt(): ObjectNode {
  const jwks = obj(
    'Jwks',
    'Where the signing keys come from. Default: discovered from the issuer (OpenID Connect Discovery).',
    {
      uri: url('Address of the JSON Web Key Set, fetched and cached.'),
      secretRef: keyReference('Secret that holds the key set.', 'jwks'),
    },
    {
      rules: [{
        rule: '[has(self.uri), has(self.secretRef)].filter(x, x).size() == 1',
        message: 'exactly one of uri, secretRef',
      }],
    },
  )
  const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'HS256', 'HS384',
    'HS512', 'EdDSA']
  return obj(
    'JwtAuth',
    'JSON Web Tokens in the Authorization header (RFC 7519).',
    {
      issuer: required(str('The iss claim that tokens must carry.', { min: 1, max: 512 })),
      audiences: setOf('Accepted aud claims; a token needs one of them. Default: any.',
        str('An audience.', { min: 1, max: 253 }), { max: 16 }),
      algorithms: setOf('Accepted signature algorithms. Default: RS256. None is never accepted.',
        choice('An algorithm of RFC 7518.', algorithms), { min: 1, max: algorithms.length }),
      jwks,
      leeway: duration('How far the clocks of issuer and gateway may differ. Default: 30s.'),
      claims: claims(),
    },
    {
      rules: [{
        rule: "has(self.jwks) || self.issuer.startsWith('https://') || self.issuer.startsWith('http://')",
        message: 'without jwks the issuer must be a URL, from which the keys are discovered',
        at: 'issuer',
      }],
    },
  )
}

function introspection(): ObjectNode {
  return obj('IntrospectionAuth', 'Opaque tokens, checked with the server that issued them (RFC 7662).', {
    endpoint: required(url('Address of the introspection endpoint.')),
    clientSecretRef: required(reference('Secret with client_id and client_secret, which the gateway asks with.')),
    cache: duration('How long an answer is believed, at most until the token expires. Default: 30s.'),
    claims: claims(),
  })
}

export function auth(description: string): ObjectNode {
  const credential = obj(
    'Credential',
    'One kind of credential.',
    { apiKey: apiKey(), jwt: jwt(), introspection: introspection() },
    {
      rules: [{
        rule: '[has(self.apiKey), has(self.jwt), has(self.introspection)].filter(x, x).size() == 1',
        message: 'exactly one of apiKey, jwt, introspection',
      }],
    },
  )
  return obj(
    'Auth',
    description,
    {
      anyOf: list('Accepted credentials, tried in order; the first that finds its credential decides.', credential,
        { min: 1, max: 8 }),
      anonymous: bool(`Let a request without a credential through, as anonymous. One with a wrong credential is still
        refused. Default: false.`),
    },
    {
      rules: [{
        rule: 'has(self.anyOf) || (has(self.anonymous) && self.anonymous)',
        message: 'give anyOf or anonymous: true; leave auth out where everyone may call',
      }],
    },
  )
}

export function authorization(description: string): ObjectNode {
  const permission = obj(
    'Permission',
    'All of what is given must hold.',
    {
      consumers: names('Consumers; the caller must be one of them.'),
      groups: names('Groups; the caller must be in one of them.'),
      tiers: names('Tiers; the caller must have one of them.', 16),
      scopes: names('OAuth scopes; the token must have one of them.'),
      models: names('Models; the request must name one of them.'),
      methods: setOf('HTTP methods; the request must use one of them.',
        choice('An HTTP method.', methods), { max: methods.length }),
      when: cel('CEL expression over request and principal that must be true.'),
    },
    { minFields: 1 },
  )
  return obj('Authorization', description, {
    allow: required(list('Permissions. The request is let through when one of them holds, and refused when none does.',
      permission, { min: 1, max: 32 })),
  })
}

export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']
