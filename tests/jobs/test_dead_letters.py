"""The dead-letter queue, taken in hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from jobs.aws import Clients
from jobs.dead_letters import DeadLetters
from jobs.errors import CloudUnavailable
from jobs.ids import UserId, new_job_id
from jobs.work_queue import WorkQueue
from tests.jobs.story import new_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A dead-letter queue of the test's own."""

    clients: Clients
    url: str
    letters: DeadLetters

    async def post(self, body: str) -> None:
        """Put a letter in."""
        await self.clients.sqs.send_message(QueueUrl=self.url, MessageBody=body)


@pytest.fixture
async def office(clients: Clients) -> Office:
    """Open a queue."""
    url = (await clients.sqs.create_queue(QueueName=new_job_id()))["QueueUrl"]
    return Office(clients=clients, url=url, letters=DeadLetters(clients.sqs, url))


async def test_a_job_s_letter_names_the_job(office: Office, clients: Clients, user: UserId) -> None:
    """As the jobs queue wrote it."""
    job = new_job(user)
    await WorkQueue(clients.sqs, clients.receiver, url=office.url, visibility_seconds=20).send(job)
    (letter,) = await office.letters.take(10)

    assert job.job_id == letter.job_id


@pytest.mark.parametrize("body", ["hello", "[]", "{}", '{"jobId": 7}', '{"jobId": ""}', "[" * 9999])
async def test_a_letter_that_is_not_ours_names_none(office: Office, body: str) -> None:
    """Nothing is raised either."""
    await office.post(body)
    (letter,) = await office.letters.take(1)

    assert letter.job_id is None


async def test_a_letter_in_hand_is_hidden_until_it_is_put_back(office: Office) -> None:
    """It is the same letter then, with another receipt."""
    await office.post("one")
    count = await office.letters.count()
    taken = await office.letters.take(10)
    hidden = await office.letters.take(10)
    await office.letters.put_back(taken)
    again = await office.letters.take(10)

    assert 1 == count
    assert [] == hidden
    assert [letter.message_id for letter in taken] == [letter.message_id for letter in again]


async def test_more_letters_than_a_call_takes_are_put_back(office: Office) -> None:
    """Ten by ten."""
    for number in range(12):
        await office.post(str(number))
    taken = [letter for most in (10, 10, 10) for letter in await office.letters.take(most)]
    await office.letters.put_back(taken)

    assert 12 == len(taken)
    assert 12 == await office.letters.count()


async def test_no_more_than_asked_are_taken(office: Office) -> None:
    """The others stay visible."""
    for number in range(3):
        await office.post(str(number))
    taken = await office.letters.take(2)

    assert (2, 1) == (len(taken), await office.letters.count())


async def test_a_deleted_letter_is_gone(office: Office) -> None:
    """Putting it back does not bring it back, and is no error."""
    await office.post("one")
    (letter,) = await office.letters.take(1)
    await office.letters.delete(letter)
    await office.letters.put_back([letter])

    assert [] == await office.letters.take(1)


async def test_a_queue_that_is_not_there_is_said_to_refuse(clients: Clients, office: Office) -> None:
    """With the code of AWS, because that is what an operator can look up."""
    letters = DeadLetters(clients.sqs, f"{office.url}-not")
    with pytest.raises(CloudUnavailable, match=r"QueueDoesNotExist|NonExistentQueue"):
        await letters.count()
    with pytest.raises(CloudUnavailable, match=r"QueueDoesNotExist|NonExistentQueue"):
        await letters.take(1)
