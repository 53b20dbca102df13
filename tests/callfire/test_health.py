"""The health of an API against a naive model that keeps the whole history."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from cffs.callfire.health import Admission, Event, Health, HealthState

OBJECTS = st.sampled_from(["a", "b", "c", "d"])


class HealthMachine(RuleBasedStateMachine):
    """Requests begin and end in any order; the promises are checked on the log of admissions."""

    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.health = Health()
        self.now = 1000.0
        self.probes: list[tuple[HealthState, float]] = []
        self.hold_ends = 0.0

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 2.0, 3.0, 30.0, 61.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(target=running, subject=OBJECTS)
    def request_begins(self, subject):
        state = self.health.state
        would, admission = self.health.would_admit(self.now), self.health.admit(self.now)
        assert would is admission
        if state in (HealthState.ONLINE, HealthState.DEGRADED):
            assert admission is Admission.GO
        if state is HealthState.HELD:
            assert admission in (Admission.WAIT, Admission.PROBE)
            if self.now < self.hold_ends:
                assert admission is Admission.WAIT
        if state is HealthState.OFFLINE:
            assert admission in (Admission.OFFLINE, Admission.PROBE)
        if state is HealthState.AUTH_FAILED:
            assert admission in (Admission.REFUSED, Admission.PROBE)
        if admission is Admission.PROBE and state is not HealthState.HELD:
            gap = {HealthState.OFFLINE: 2.0, HealthState.AUTH_FAILED: 60.0}[state]
            same = [at for other, at in self.probes if other is state]
            assert not same or self.now - same[-1] >= gap or self.left_state
            self.probes.append((state, self.now))
            self.left_state = False
        return (subject, self.now, admission)

    left_state = True

    @rule(request=consumes(running), event=st.sampled_from(Event), hold=st.sampled_from([-1.0, 0.0, 5.0, 3600.0]))
    def request_ends(self, request, event, hold):
        subject, began_at, admission = request
        if admission not in (Admission.GO, Admission.PROBE):
            return
        before = self.health.state
        self.health.report(event, self.now, subject=subject, began_at=began_at, hold_seconds=hold)
        after = self.health.state
        if after is not before:
            self.left_state = True
        if event is Event.UNREACHABLE:
            assert after is HealthState.OFFLINE
        if event is Event.ACCOUNT_REFUSED:
            assert after is HealthState.AUTH_FAILED
        if event is Event.ANSWERED and before is not HealthState.HELD:
            assert after is HealthState.ONLINE
        if event is Event.HELD and before is not HealthState.AUTH_FAILED:
            assert after is HealthState.HELD
            self.hold_ends = self.now + self.health.held_seconds(self.now)
        if event is Event.ABANDONED:
            assert after is before

    @invariant()
    def a_hold_is_at_most_a_minute(self):
        assert 0 <= self.health.held_seconds(self.now) <= 60
        assert self.health.seconds_to_wait(self.now) > 0

    @precondition(lambda self: self.health.state is HealthState.OFFLINE)
    @rule()
    def offline_lets_a_probe_through_within_two_seconds(self):
        assert self.health.would_admit(self.now + 2.0) is Admission.PROBE


TestHealth = HealthMachine.TestCase
TestHealth.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_three_different_objects_in_a_row_fail_the_credentials():
    """One object refused again and again is that object's trouble, and an answer between refusals breaks the row."""
    health = Health()
    for subject in ("a", "a", "a", "b"):
        health.report(Event.REFUSED, 1.0, subject=subject, began_at=0.0)
    assert health.state is HealthState.ONLINE
    health.report(Event.ANSWERED, 1.0, subject="z", began_at=0.0)
    for subject in ("a", "b"):
        health.report(Event.REFUSED, 1.0, subject=subject, began_at=0.0)
    assert health.state is HealthState.ONLINE
    health.report(Event.REFUSED, 1.0, subject="c", began_at=0.0)
    assert health.state is HealthState.AUTH_FAILED
    assert health.admit(60.9) is Admission.REFUSED
    assert health.admit(61.0) is Admission.PROBE
    assert health.admit(61.1) is Admission.REFUSED


def test_an_unnamed_hold_doubles_while_holds_follow():
    """A 429 without Retry-After holds for 1, 2, 4 … seconds, and for 1 again after an answer."""
    health, now, seen = Health(), 0.0, []
    for _ in range(8):
        health.report(Event.HELD, now, subject="a", began_at=now)
        seen.append(health.held_seconds(now))
        now += health.held_seconds(now)
        assert health.admit(now) is Admission.PROBE
        assert health.admit(now) is Admission.WAIT
    assert seen == [1, 2, 4, 8, 16, 32, 60, 60]
    health.report(Event.ANSWERED, now, subject="a", began_at=now)
    health.report(Event.HELD, now, subject="a", began_at=now)
    assert health.held_seconds(now) == 1


def test_failures_of_one_object_leave_the_api_as_it_is():
    """After a hundred 503s on one object the API is online; after three objects it is degraded, which is only shown."""
    health = Health()
    for _ in range(100):
        health.report(Event.FAILED, 0.0, subject="a", began_at=0.0)
    assert health.state is HealthState.ONLINE
    for subject in ("b", "c"):
        health.report(Event.FAILED, 0.0, subject=subject, began_at=0.0)
    assert health.state is HealthState.DEGRADED
    assert health.admit(0.0) is Admission.GO


def test_refused_at_the_start():
    """One plain refusal of a mount's first question is enough. The API is asked again after a minute, and recovers with
    an answer."""
    health = Health()
    health.refuse(5.0)
    assert health.state is HealthState.AUTH_FAILED
    assert health.admit(64.9) is Admission.REFUSED
    assert health.admit(65.0) is Admission.PROBE
    health.report(Event.REFUSED, 65.1, subject="a", began_at=65.0)
    assert (health.state, health.admit(70.0)) == (HealthState.AUTH_FAILED, Admission.REFUSED)
    assert health.admit(125.0) is Admission.PROBE
    health.report(Event.ANSWERED, 125.1, subject="a", began_at=125.0)
    assert (health.state, health.admit(125.2)) == (HealthState.ONLINE, Admission.GO)


def test_a_hold_learned_from_another_machine():
    """It begins and lengthens a hold as an answer here would, never shortens one, and leaves the doubling alone."""
    health = Health()
    health.hold(10.0, 5.0)
    assert health.state is HealthState.HELD
    assert health.held_seconds(10.0) == 5.0
    health.hold(11.0, 1.0)
    assert health.held_seconds(11.0) == 4.0
    health.hold(11.0, 500.0)
    assert health.held_seconds(11.0) == 60.0
    assert health.admit(71.0) is Admission.PROBE
    health.report(Event.HELD, 71.5, subject="a", began_at=71.0)
    assert health.held_seconds(71.5) == 1.0  # the first that was named here: not doubled


def test_a_hold_from_elsewhere_after_a_probe_began():
    """It is a new hold: the probe's answer says nothing about its end, unless the probe was sent after it."""
    health = Health()
    health.hold(0.0, 1.0)
    assert health.admit(1.0) is Admission.PROBE
    health.hold(1.5, 3.0)
    health.report(Event.ANSWERED, 2.0, subject="a", began_at=1.0)
    assert health.state is HealthState.HELD
    assert health.would_admit(4.0) is Admission.WAIT
    assert health.would_admit(4.5) is Admission.PROBE


def test_a_hold_from_elsewhere_with_refused_credentials():
    """Refused stays refused; it is only asked later where the hold lasts longer."""
    health = Health()
    health.refuse(0.0)
    health.hold(30.0, 40.0)
    assert health.is_refused
    assert health.would_admit(69.0) is Admission.REFUSED
    assert health.would_admit(70.0) is Admission.PROBE
