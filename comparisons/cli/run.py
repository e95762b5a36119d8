"""`compare run`: its options, and what they mean for the run."""

from __future__ import annotations

from typing import Any

import typer

from he_compare.comparisons.cli.finished_runs import renderer
from he_compare.comparisons.cli.options import (
    DataDir,
    Formats,
    Offline,
    PublicImages,
    RequireReal,
)
from he_compare.comparisons.cli.run_options import (
    AuditOrNot,
    ClientCertificate,
    ClientCertificateKey,
    ClientKeyFile,
    EstimateJson,
    EstimateOnly,
    ExplainOnly,
    HostAddress,
    HostTokenFile,
    InsecureScheduler,
    NoProgress,
    OtherSideCa,
    ProfileName,
    RunDataset,
    RunOut,
    RunPipelines,
    SchedulerAddress,
    WithTraceback,
    WorkerCount,
    WorkerSeconds,
)
from he_compare.comparisons.cli.settings import with_settings


@with_settings(after="require_real")
def run(
    dataset: RunDataset = "chestxray",
    profile: ProfileName = "quick",
    pipeline: RunPipelines = None,
    out: RunOut = None,
    key: ClientKeyFile = None,
    explain: ExplainOnly = False,
    estimate: EstimateOnly = False,
    json: EstimateJson = False,
    data_dir: DataDir = None,
    offline: Offline = False,
    require_real: RequireReal = False,
    audit: AuditOrNot = None,
    public: PublicImages = None,
    format: Formats = "md,html,pdf",
    workers: WorkerCount = None,
    scheduler: SchedulerAddress = "",
    worker_seconds: WorkerSeconds = 60.0,
    insecure_scheduler: InsecureScheduler = False,
    host: HostAddress = "",
    token_file: HostTokenFile = None,
    tls_ca: OtherSideCa = None,
    tls_cert: ClientCertificate = None,
    tls_key: ClientCertificateKey = None,
    quiet: NoProgress = False,
    debug: WithTraceback = False,
    **settings: Any,
) -> None:
    """Run pipelines on a dataset and write a report."""
    render = renderer(format, None)
    from he_compare.comparisons.cluster.who_runs import WhoRuns
    from he_compare.comparisons.measuring.config import audit_budget
    from he_compare.comparisons.measuring.host_asked import HostAsked
    from he_compare.comparisons.one_run import run_command

    # Certificates are for the one other side that is named.
    tls = {"tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
    overrides = settings | {
        "pipelines": pipeline or None,
        "public": public or None,
        "audit": None if audit is None else audit_budget(profile, wanted=audit),
    }
    code = run_command(
        dataset=dataset,
        data_dir=data_dir,
        profile=profile,
        overrides=overrides,
        out=out,
        key=key,
        offline=offline,
        require_real=require_real,
        render=render,
        explain=explain,
        estimate=estimate,
        as_json=json,
        quiet=quiet,
        who=WhoRuns(
            count=workers,
            scheduler=scheduler,
            insecure=insecure_scheduler,
            wait_seconds=worker_seconds,
            **({} if host else tls),
        ),
        host=HostAsked(host, token_file, **(tls if host else {})),
    )
    raise typer.Exit(code)
