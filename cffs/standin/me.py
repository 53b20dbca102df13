"""The account holder's data: details, API credentials, caller ids and billing.

It owns these rows, and the logins accepted besides the two of the stand-in itself. It must not know HTTP.
"""

from typing import Final

from cffs.standin.generated_rows import OWN_NUMBERS, Row, mixed

CREDENTIAL_BASE: Final = 20_000_000_003
MASK: Final = "*" * 12
CODE_DIGITS: Final = 4


class Me:
    """The account holder's data, used under the account's lock."""

    def __init__(self, *, seed: int, newest_ms: int) -> None:
        self._seed = seed
        self._newest_ms = newest_ms
        self.account_row: Row = {
            "id": 12_000_000_003 + seed % 1000 * 1000,
            "email": f"owner{seed}@example.com",
            "name": "Ada Example",
            "firstName": "Ada",
            "lastName": "Example",
            "permissions": ["API", "ACCOUNT_HOLDER"],
        }
        self._credentials: dict[int, Row] = {}
        self._passwords: dict[int, str] = {}
        self.caller_ids: list[str] = list(OWN_NUMBERS[:3])
        self._codes: dict[str, str] = {}
        self.verification_calls: list[str] = []
        """Every number that was called, once for each call."""
        for name in ("nightly export", "Ops / dashboard", "nightly export"):
            self.create_credential(name)

    def credentials(self) -> list[Row]:
        """All API credentials, with passwords masked except for the last four characters."""
        return [dict(row) for row in self._credentials.values()]

    def credential(self, credential_id: int) -> Row | None:
        """One API credential, masked; None for an unknown id."""
        row = self._credentials.get(credential_id)
        return dict(row) if row else None

    def create_credential(self, name: str, *, username: str | None = None) -> Row:
        """Create an API credential; only here its password is in clear. With the `username` of another one it is a
        second password of that."""
        credential_id = max(self._credentials, default=CREDENTIAL_BASE - 1000) + 1000
        password = f"{mixed(self._seed, credential_id, 30):016x}"
        self._passwords[credential_id] = password
        self._credentials[credential_id] = {
            "id": credential_id,
            "name": name,
            "username": username or f"{mixed(self._seed, credential_id, 31):016x}"[:12],
            "password": MASK + password[-4:],
            "enabled": True,
        }
        return {**self._credentials[credential_id], "password": password}

    def delete_credential(self, credential_id: int) -> bool:
        """Delete an API credential, whose login is then refused; True where it existed."""
        self._passwords.pop(credential_id, None)
        return self._credentials.pop(credential_id, None) is not None

    def accepts(self, login: str, password: str) -> bool:
        """Whether the pair is that of a created credential."""
        return any(
            row["username"] == login and self._passwords[credential_id] == password
            for credential_id, row in self._credentials.items()
        )

    def call_with_code(self, number: str) -> None:
        """Do what the service does by telephone: `verification_code` is then the number's code."""
        self.verification_calls.append(number)
        self._codes[number] = self.verification_code(number)

    def verification_code(self, number: str) -> str:
        """The code that verifies a number."""
        return f"{mixed(self._seed, int(number), 32) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"

    def verify(self, number: str, code: str) -> bool:
        """Verify a number: True for the right code of a number that was called, and for any code of a verified
        number."""
        if number in self.caller_ids:
            return True
        if self._codes.get(number) != code:
            return False
        del self._codes[number]
        self.caller_ids.append(number)
        return True

    def plan_usage(self) -> Row:
        """The usage of the current month, which is that of the newest call."""
        return {
            "intervalStart": self._newest_ms,
            "intervalEnd": self._newest_ms + 30 * 86_400_000,
            "remainingPlanCredits": 2341.5,
            "remainingPayAsYouGoCredits": 150.0,
            "totalRemainingCredits": 2491.5,
        }
