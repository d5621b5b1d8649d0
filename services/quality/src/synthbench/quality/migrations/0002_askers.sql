-- Requests to verify name pool and asker in their subjects. Those that wait are asked again: what lay on the bus under the
-- old subject is nobody's any more.
update outbox set subject = 'verification.requested.' || (convert_from(payload, 'UTF8')::jsonb->>'pool') || '.quality',
                  published_at = null
where subject = 'verification.requested' and not headers ? 'ce-dataref'
  and exists (select 1 from verifications v join scorings s using (trajectory_id)
              where s.state = 'waiting' and v.verification_id = (convert_from(payload, 'UTF8')::jsonb->>'verification_id')::uuid);
delete from outbox where subject = 'verification.requested';
