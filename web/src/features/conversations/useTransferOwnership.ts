import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const TransferOwnership = graphql(`
  mutation TransferOwnership($input: TransferOwnershipInput!) {
    transferOwnership(input: $input) {
      group {
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

/** Hands a group over to another participant. */
export function useTransferOwnership() {
  return useAct(TransferOwnership, (data) => data.transferOwnership)
}
