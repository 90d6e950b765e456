import { Button, Group, Input, NativeSelect } from "@mantine/core"
import { useState } from "react"
import { ActButton } from "../../ui/ActButton"
import { useOtherParticipants } from "./useOtherParticipants"
import { useTransferOwnership } from "./useTransferOwnership"

export interface TransferDialogProps {
  id: string
  name: string
  onClose: () => void
}

/** Hands a group over to somebody else who is in it. The viewer stays. */
export function TransferDialog({ id, name, onClose }: TransferDialogProps) {
  const [userId, setUserId] = useState("")
  const [error, setError] = useState<string>()
  const others = useOtherParticipants(id)
  const [transferOwnership, isBusy] = useTransferOwnership()
  const transfer = async () => {
    const { error } = await transferOwnership({ conversationId: id, userId })
    if (error) setError(error)
    else onClose()
  }
  return (
    <div className="question">
      <p>
        You stay in <bdi className="name">{name}</bdi>, but only its new owner may delete it or hand it over again.
      </p>
      <NativeSelect
        label="New owner"
        value={userId}
        onChange={(event) => setUserId(event.currentTarget.value)}
        data-autofocus
      >
        <option value="">{others?.length === 0 ? "Nobody else is in the group" : "Choose somebody"}</option>
        {others?.map((other) => (
          <option key={other.id} value={other.id}>
            {other.name} ({other.roleLabel})
          </option>
        ))}
      </NativeSelect>
      {error && <Input.Error role="alert">{error}</Input.Error>}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <ActButton isBusy={isBusy} disabled={userId === ""} onClick={() => void transfer()}>
          Hand over
        </ActButton>
      </Group>
    </div>
  )
}
