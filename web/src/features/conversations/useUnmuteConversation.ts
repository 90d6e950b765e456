import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const UnmuteConversation = graphql(`
  mutation UnmuteConversation($input: UnmuteConversationInput!) {
    unmuteConversation(input: $input) {
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

/** Lets a conversation be heard again (S40). */
export function useUnmuteConversation() {
  return useAct(UnmuteConversation, (data) => data.unmuteConversation, { isRepeatable: true })
}
