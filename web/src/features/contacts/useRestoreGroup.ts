import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const RestoreGroup = graphql(`
  mutation RestoreGroup($input: UnarchiveConversationInput!) {
    unarchiveConversation(input: $input) {
      conversation {
        id
        ...LiveConversation
      }
      userErrors {
        message
        field
      }
    }
  }
`)

/** Takes an archived group back into the list, because the person opens it (S48). */
export function useRestoreGroup() {
  return useAct(RestoreGroup, (data) => data.unarchiveConversation, { isRepeatable: true })
}
