import type { Denied, Identify, May } from '../actions/access.ts'
import { isRecord, pathOf, type Api } from './api.ts'
import { MODEL_ROUTES, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS } from './kinds.ts'
import { troubleOf } from './trouble.ts'

/** Milliseconds that a review may take. */
const DEADLINE = 10_000

/** Somebody as the API server knows them: what a TokenReview says is what a SubjectAccessReview takes. */
type User = Readonly<{ username: string; uid?: unknown; groups?: unknown; extra?: unknown }>

/**
 * Knows tokens of the cluster: the API server says whose they are (TokenReview), and whether they may patch the route
 * (SubjectAccessReview), which is what kubectl would need to give the same command by an annotation.
 */
export function clusterTokens(api: Api): Identify {
  return async (token) => {
    const answer = await api.call({
      method: 'POST', path: pathOf(TOKEN_REVIEWS), deadline: DEADLINE,
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
    })
    if (answer.status !== 201) return unreviewed('a token', troubleOf(answer).message)
    const status = isRecord(answer.body) ? answer.body['status'] : undefined
    const user = isRecord(status) && status['authenticated'] === true ? userOf(status['user']) : undefined
    if (user === undefined) return { status: 401, error: 'the cluster does not know that token' }
    return { name: user.username, may: mayPatch(api, user), own: true }
  }
}

function userOf(user: unknown): User | undefined {
  if (!isRecord(user) || typeof user['username'] !== 'string' || user['username'] === '') return undefined
  return { ...user, username: user['username'] }
}

function mayPatch(api: Api, { username, uid, groups, extra }: User): May {
  return async (namespace, name) => {
    const { group, plural: resource, version } = MODEL_ROUTES
    const spec = { user: username, uid, groups, extra, resourceAttributes: { namespace, name, verb: 'patch', group, version, resource } }
    const answer = await api.call({
      method: 'POST', path: pathOf(SUBJECT_ACCESS_REVIEWS), deadline: DEADLINE,
      body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec },
    })
    if (answer.status !== 201) return unreviewed('rights', troubleOf(answer).message)
    const status = isRecord(answer.body) ? answer.body['status'] : undefined
    if (isRecord(status) && status['allowed'] === true) return undefined
    return { status: 403, error: `${username} may not patch modelroutes in ${namespace}` }
  }
}

function unreviewed(what: string, why: string): Denied {
  return { status: 503, error: `the cluster cannot be asked about ${what}: ${why}` }
}
