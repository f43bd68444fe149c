"""What `wstest -m fuzzingclient -s SPEC` does, and nothing else.

    fuzz.py SPEC.json     runs the cases and writes the reports
    fuzz.py --list        the cases: {"id": "description", ...}
"""

import json
import re
import sys
import warnings

warnings.filterwarnings("ignore")

if sys.platform.startswith("linux"):
    from twisted.internet import epollreactor
    epollreactor.install()

import txaio  # noqa: E402

txaio.use_twisted()

from autobahntestsuite import py2compat  # noqa: E402

py2compat.install()

from autobahntestsuite import fuzzing  # noqa: E402
from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories  # noqa: E402
from autobahntestsuite.caseset import CaseSet  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.python import log  # noqa: E402


def describe(case):
    """One line: what is before the first <br>, without tags."""
    return " ".join(re.sub("<[^>]*>", "", case.DESCRIPTION.split("<br>")[0]).split())


def main():
    if sys.argv[1] == "--list":
        cases = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
        print(json.dumps({cases.caseClasstoId(c): describe(c) for c in Cases}))
        return
    errors = []

    def observe(event):
        if event.get("isError"):
            errors.append(log.textFromEventDict(event))
            print(errors[-1], file=sys.stderr, flush=True)

    log.startLoggingWithObserver(observe, setStdout=False)
    with open(sys.argv[1]) as spec:
        factory = fuzzing.FuzzingClientFactory(json.load(spec))
    written = []
    create_reports = factory.createReports
    factory.createReports = lambda: (written.append(True), create_reports())
    reactor.run()
    if not written:  # stopped by a signal: what there is up to now
        create_reports()
    # An exception in the suite itself is not a verdict on the server.
    sys.exit(3 if errors else 0)


main()
