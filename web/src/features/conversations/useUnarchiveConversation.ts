import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const UnarchiveConversation = graphql(`
  mutation UnarchiveConversation($input: UnarchiveConversationInput!) {
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

/** Takes a conversation back into the list. */
export function useUnarchiveConversation() {
  return useAct(UnarchiveConversation, (data) => data.unarchiveConversation, { isRepeatable: true })
}
