import type { OperationVariables, TypedDocumentNode } from "@apollo/client"
import { useQuery } from "@apollo/client/react"
import { sentence } from "./useAct"

/**
 * What is found for what somebody types. The last findings stay until the next are there, so that nothing flickers, and
 * also if a search fails. They pass the cache by: what is found is only a piece of each thing.
 */
export function useSearch<Data, Variables extends OperationVariables & { query: string }>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
) {
  const { data, previousData, error } = useQuery<Data, OperationVariables>(document, {
    variables,
    fetchPolicy: "no-cache",
    notifyOnNetworkStatusChange: true,
  })
  return {
    found: (data ?? previousData) as Data | undefined,
    /** For what that was found, unless it is still being looked for. */
    foundFor: data ? variables.query : undefined,
    error: error && sentence(error),
  }
}
