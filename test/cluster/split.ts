// Routes that split between two variants of one model, and where its endpoints are, without anything that answers.

export const routes = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes'

export function route(name: string, stable: number) {
  return {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name, namespace: 'ml' },
    spec: {
      rules: [{
        name: 'infer',
        matches: [{ path: { type: 'PathPrefix', value: `/v2/models/${name}` } }],
        backendRefs: [{ variant: 'stable', name: 'model', port: 8000, weight: stable }, { variant: 'canary', name: 'model', port: 8000, weight: 100 - stable }],
      }],
    },
  }
}

/** Of a Service without a selector. */
export function slice(count: number) {
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: { name: 'model', namespace: 'ml', labels: { 'kubernetes.io/service-name': 'model' } },
    addressType: 'IPv4', ports: [{ name: 'http', port: 8000 }],
    endpoints: Array.from({ length: count }, (_, i) => ({ addresses: [`10.78.9.${i + 1}`], conditions: { ready: true } })),
  }
}
