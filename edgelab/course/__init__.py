"""The course made out of its chapters: executed, as pages, slides, a site, and an edition to hand out."""
