"""What Acumatica would push: a Generic Inquiry over opportunities of the fake, and the notification of each transaction."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.sync.change import datetime_to_ticks
from local.fakes import FakeAcumatica

QUERY = "Calendar - Opportunity Meetings"
ENTITY = "Opportunity"
COLUMNS = {
    "OpportunityID": "string",
    "Subject": "string",
    "OwnerEmail": "string",
    "MeetingStart": "datetime",
    "MeetingEnd": "datetime",
    "Room": "string",
    "NoteID": "guid",
}

type Row = dict[str, Any]
type Notification = dict[str, Any]
# A day to come, as calendars are looked at for what is not over: the first of a month, about two months ahead.
COMING = (datetime.now(UTC).date().replace(day=1) + timedelta(days=62)).replace(day=1)


class Inquiry:
    """Rows as the inquiry shows them, by OpportunityID. Each change returns the push notification that it causes.

    The same rows can be read by OData. Notifications are stamped as if their transactions were `age` old.
    """

    def __init__(self, acumatica: FakeAcumatica, tenant: str = "Production", age: timedelta = timedelta()) -> None:
        self.rows: dict[str, Row] = {}
        self._acumatica = acumatica
        acumatica.expose(QUERY, self.rows.values, COLUMNS, ("OpportunityID",))
        self._tenant = tenant
        self._ticks = itertools.count(datetime_to_ticks(datetime.now(UTC) - age), 10_000)  # a millisecond apart

    def save(self, key: str, **columns: Any) -> Notification:
        """Insert the row, or change some of its columns."""
        old = self.rows.get(key)
        if old is None:
            subject = f"Visit for {key}"
            dates = {"MeetingStart": f"{COMING}T09:30:00", "MeetingEnd": f"{COMING}T10:30:00"}
            new = {
                "OpportunityID": key,
                "Subject": subject,
                "OwnerEmail": "ann@example.com",
                **dates,
                "Room": "Room 1",
                **columns,
            }
            new["NoteID"] = self._acumatica.put_record(ENTITY, {"OpportunityID": key, "Subject": new["Subject"]})
        else:
            new = old | columns
        self.rows[key] = new
        return self.notification([new], [old] if old else [])

    def remove(self, key: str, *, record: bool = False) -> Notification:
        """Take the row out of the inquiry, by default because it does not match any more; `record`: it is deleted."""
        old = self.rows.pop(key)
        if record:
            self._acumatica.delete_record(ENTITY, old["NoteID"])
        return self.notification([], [old])

    def echo(self, record_id: str) -> Notification | None:
        """What our own write-back causes where its field is tracked: the same row on both sides."""
        row = next((row for row in self.rows.values() if row["NoteID"] == record_id), None)
        return self.notification([row], [row]) if row else None

    def notification(self, inserted: list[Row], deleted: list[Row]) -> Notification:
        """The notification of one transaction, later than all before it."""
        return {
            "Inserted": [dict(row) for row in inserted],
            "Deleted": [dict(row) for row in deleted],
            "Query": QUERY,
            "CompanyId": self._tenant,
            "Id": str(uuid.uuid4()),
            "TimeStamp": next(self._ticks),
            "AdditionalInfo": {"PXPerformanceInfoStartTime": f"{datetime.now(UTC):%m/%d/%Y %H:%M:%S}"},
        }
