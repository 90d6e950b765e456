import { Button, Group, Input, NativeSelect } from "@mantine/core"
import { useState } from "react"
import { ActButton } from "../../ui/ActButton"
import { texts } from "../../ui/texts"
import { useLeaveGroup } from "./useLeaveGroup"
import { useOtherParticipants } from "./useOtherParticipants"

export interface LeaveDialogProps {
  id: string
  name: string
  /** Whether the viewer owns it: somebody else has to from then on (E2). */
  isOwner: boolean
  onClose: () => void
}

/** Asks before the viewer leaves a group (S50). */
export function LeaveDialog({ id, name, isOwner, onClose }: LeaveDialogProps) {
  const [successorId, setSuccessorId] = useState("")
  const [error, setError] = useState<string>()
  const others = useOtherParticipants(id, isOwner)
  const [leaveGroup, isBusy] = useLeaveGroup()
  const leave = async () => {
    const { error } = await leaveGroup({ conversationId: id, ...(successorId && { successorId }) })
    if (error) setError(error)
    else onClose()
  }
  const eldest = others?.[0]
  const isLast = others?.length === 0
  return (
    <div className="question">
      <p>
        You get no new messages or updates of <bdi className="name">{name}</bdi> until someone adds you back in.
        {isOwner && isLast && " Nobody else is in it, so the group is closed."}
      </p>
      {isOwner && !isLast && (
        <NativeSelect
          label="Next owner"
          description="Who may delete the group once you have left"
          value={successorId}
          onChange={(event) => setSuccessorId(event.currentTarget.value)}
        >
          <option value="">Longest in the group{eldest ? `: ${eldest.name}` : ""}</option>
          {others?.map((other) => (
            <option key={other.id} value={other.id}>
              {other.name} ({other.roleLabel})
            </option>
          ))}
        </NativeSelect>
      )}
      {error && <Input.Error role="alert">{error}</Input.Error>}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose} data-autofocus>
          Cancel
        </Button>
        <ActButton isBusy={isBusy} onClick={() => void leave()}>
          {texts.leave}
        </ActButton>
      </Group>
    </div>
  )
}
