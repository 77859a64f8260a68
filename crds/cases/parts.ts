/** The pieces that the judged objects are made of. */

export type Json = Readonly<Record<string, unknown>>

export const head = { apiVersion: 'modelroute.io/v1alpha1', metadata: { name: 'case', namespace: 'default' } }

export const route = (spec: unknown): Json => ({ ...head, kind: 'ModelRoute', spec })
export const policy = (spec: unknown): Json => ({ ...head, kind: 'RateLimitPolicy', spec })

export const stable = { variant: 'stable', name: 'fraud', port: 8000, weight: 95 }
export const canary = { variant: 'canary', name: 'fraud-v2', port: 8000, weight: 5 }

/** A route of one rule: the least there must be, and `more`. */
export const rule = (more: Json = {}): Json =>
  route({ rules: [{ name: 'infer', backendRefs: [stable, canary], ...more }] })
export const match = (more: Json): Json => rule({ matches: [more] })
export const backend = (more: Json): Json => rule({ backendRefs: [stable, more] })
export const gate = (more: Json): Json => rule({ rollout: { candidate: 'canary', analysis: { metrics: [more] } } })

export const target = { group: 'modelroute.io', kind: 'ModelRoute', name: 'fraud' }
export const perDay = { requests: 100, window: '24h' }
export const limit = (more: Json): Json =>
  policy({ targetRefs: [target], limits: [{ name: 'free', rate: perDay, ...more }] })

export const composeRule = {
  name: 'ensemble',
  compose: {
    steps: [
      { name: 'clean', backendRef: { name: 'clean', port: 80 }, path: '/clean/%20(all)' },
      {
        name: 'score', backendRef: { kind: 'URL', url: 'https://score.example.com' }, input: 'steps.clean',
        dependsOn: ['clean'], when: 'true', forEach: '[1, 2]', maxParallel: 8, onError: 'Skip', timeout: '1s',
        retry: { attempts: 2 },
      },
    ],
    output: 'mean(steps.score)',
  },
}
