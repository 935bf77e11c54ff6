import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import express, { Router } from 'express'
import { API_PAGE_SCRIPT, apiPage, errorsPage, homePage } from '../web/pages.ts'
import { STATUS } from './errors.ts'

/** A page that says what this is (/), and the API for machines (/openapi.json) and for people (/docs). Everything is served from here; nothing is fetched elsewhere. */
export function documentationRouter(document: object, version: string): Router {
  const router = Router()
  const text = JSON.stringify(document)
  const assets = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
  const page = apiPage('/docs/assets')
  const errors = errorsPage(STATUS)

  const home = homePage(version)
  router.get('/', (_request, response) => {
    response.type('html').set('Content-Security-Policy', POLICY).send(home)
  })
  router.get('/openapi.json', (_request, response) => {
    response.type('json').set('Cache-Control', 'no-cache').send(text)
  })
  router.get('/docs', (_request, response) => {
    response.type('html').set('Content-Security-Policy', POLICY).send(page)
  })
  router.get('/docs/errors', (_request, response) => {
    response.type('html').set('Content-Security-Policy', POLICY).send(errors)
  })
  router.get('/docs/assets/start.js', (_request, response) => {
    response.type('js').send(API_PAGE_SCRIPT)
  })
  router.use('/docs/assets', express.static(assets, { index: false, maxAge: '1h' }))
  return router
}

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
