"""Support tickets, a dataset as small as one can be: a declaration, a source, a cleaning model, a policy. Imports nothing of reviews."""

from curation.dataset import Dataset, Field
from curation.snapshots.manifest import CardTexts
from curation.training_rows import TrainingPolicy

TICKETS = Dataset(
    name="tickets",
    key="ticket_uid",
    ordered_by="opened_at",
    subject="customer",
    fields=(
        Field(name="native_id", type="string", description="The ticket's number."),
        Field(name="customer", type="string", description="Who opened it."),
        Field(name="queue", type="string", required=True, description="The team that solved it."),
        Field(name="text", type="string", required=True, description="What the customer wrote."),
        Field(name="opened_at", type="timestamp", description="When it was opened, UTC."),
    ),
)

SOURCES_YAML = """\
helpdesk:
  fields:
    native_id: number
    customer: from
    queue: {from: solved_by, allowed: [billing, technical]}
    text: body
    opened_at: opened
  date_format: iso8601
  extra:
    priority: integer
"""

CLEANING = """
select * exclude (seq), trim(lower(text)) as clean_text, trim(text) = '' as is_empty,
    case when contains(text, 'http://') then 'link' end as spam_rule
from raw
"""

CURATED = """
select cleaned.* from cleaned join decided using (record_no) where fate = 'kept'
"""

POLICY = TrainingPolicy(labels=("billing", "technical"), label_sql="queue", minimum_rows=1)

CARD = CardTexts(pretty_name="Tickets", description="Tickets by the team that solved them.", licence="unknown")
