//! A cloud that is looked at by anybody, and changed only by a run that still holds the cluster's lock.

use super::name::{PhysicalId, ResourceName};
use super::ports::{Call, CloudApi, CloudError, Found, Ids, Neighbour, Observed, State, Trouble};
use super::resource::{Desired, Resource};
use super::roll::{Group, Groups, Size};
use crate::exec::ports::Fence;

/// What a lock that was lost is called among the codes of clouds.
pub const FENCED: &str = "Fenced";

/// Asks before every change.
pub struct Fenced<'a, T> {
    pub api: &'a T,
    pub fence: &'a dyn Fence,
}

impl<T> Fenced<'_, T> {
    async fn check(&self, call: &'static str) -> Result<(), CloudError> {
        let lost = |message| CloudError { trouble: Trouble::Invalid, call, code: FENCED.to_owned(), message };
        self.fence.check().await.map_err(|error| lost(error.0))
    }
}

impl<T: CloudApi> CloudApi for Fenced<'_, T> {
    fn observe(&self) -> Call<'_, Observed> {
        self.api.observe()
    }

    fn neighbours<'a>(&'a self, network: Option<&'a PhysicalId>) -> Call<'a, Vec<Neighbour>> {
        self.api.neighbours(network)
    }

    fn create<'a>(
        &'a self,
        name: &'a ResourceName,
        wanted: &'a Desired,
        ids: &'a Ids,
        token: &'a str,
    ) -> Call<'a, PhysicalId> {
        Box::pin(async move {
            self.check("keelwright:create").await?;
            self.api.create(name, wanted, ids, token).await
        })
    }

    fn find<'a>(
        &'a self,
        name: &'a ResourceName,
        wanted: &'a Resource,
        ids: &'a Ids,
    ) -> Call<'a, Vec<Found>> {
        self.api.find(name, wanted, ids)
    }

    fn update<'a>(
        &'a self,
        name: &'a ResourceName,
        there: &'a Found,
        wanted: &'a Desired,
        ids: &'a Ids,
    ) -> Call<'a, ()> {
        Box::pin(async move {
            self.check("keelwright:update").await?;
            self.api.update(name, there, wanted, ids).await
        })
    }

    fn delete<'a>(&'a self, name: &'a ResourceName, there: &'a Found, force: bool) -> Call<'a, ()> {
        Box::pin(async move {
            self.check("keelwright:delete").await?;
            self.api.delete(name, there, force).await
        })
    }

    fn state<'a>(
        &'a self,
        name: &'a ResourceName,
        id: &'a PhysicalId,
        kind: &'a Resource,
        ids: &'a Ids,
    ) -> Call<'a, State> {
        self.api.state(name, id, kind, ids)
    }
}

impl<T: Groups> Groups for Fenced<'_, T> {
    fn group<'a>(&'a self, name: &'a ResourceName) -> Call<'a, Option<Group>> {
        self.api.group(name)
    }

    fn resize<'a>(&'a self, name: &'a ResourceName, to: Size, before: Option<Size>) -> Call<'a, ()> {
        Box::pin(async move {
            self.check("keelwright:resize").await?;
            self.api.resize(name, to, before).await
        })
    }

    fn terminate<'a>(&'a self, id: &'a PhysicalId, shrink: bool) -> Call<'a, ()> {
        Box::pin(async move {
            self.check("keelwright:terminate").await?;
            self.api.terminate(id, shrink).await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::BoxFuture;

    use super::*;
    use crate::cloud::fake::FakeCloud;
    use crate::cloud::plan::plan_infra;
    use crate::cloud::run::{InfraRun, Pace, StepError};
    use crate::cloud::spec::tests::{example, state_of};
    use crate::exec::ports::PortError;

    /// Somebody else takes over after so many changes.
    struct After(AtomicUsize);

    impl Fence for After {
        fn check(&self) -> BoxFuture<'_, Result<(), PortError>> {
            let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            Box::pin(std::future::ready(left.map(drop).map_err(|_| PortError("lost to bob".to_owned()))))
        }
    }

    #[test]
    fn a_run_that_was_overtaken_changes_nothing_any_more() {
        let wanted = state_of(&example());
        for allowed in [0, 1, 7, 30] {
            let cloud = FakeCloud::new();
            let fence = After(AtomicUsize::new(allowed));
            let plan = plan_infra("test", &wanted, &Observed::default()).unwrap();
            let fenced = Fenced { api: &cloud, fence: &fence };
            let run = InfraRun {
                api: &fenced,
                clock: &cloud,
                pace: Pace::default(),
                seed: 1,
                force: false,
                events: &|_| {},
            };
            let outcome = futures::executor::block_on(run.carry_out(&plan, &Observed::default()));
            assert_eq!(cloud.world().mutations, allowed);
            assert!(!outcome.failed.is_empty());
            for (_, error) in &outcome.failed {
                let StepError::Refused(error) = error else { panic!("{error}") };
                assert_eq!((error.code.as_str(), error.message.as_str()), (FENCED, "lost to bob"));
            }
        }
    }
}
